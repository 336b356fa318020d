"""The log of act: lines as act 0.2 wrote them, with jobs that ran side by side."""

from __future__ import annotations

import json

from scenarios.delivery import act_log
from scenarios.delivery.act_log import StepRun


def entry(job: str, seconds: int, **fields: object) -> str:
    content = {
        "job": f"release/{job}  ",
        "jobID": job,
        "level": "info",
        "msg": "",
        "time": f"2026-11-29T10:00:{seconds:02}Z",
    }
    return json.dumps(content | fields)


def step(job: str, seconds: int, name: str, result: str, *, ids: list[str] = ["0"], stage: str = "Main") -> str:  # noqa: B006
    return entry(job, seconds, step=name, stepID=ids, stage=stage, stepResult=result, executionTime=1.5e9)


def test_jobs_are_in_the_order_in_which_they_began_each_with_its_own_lines():
    log = [
        entry("changes", 0, raw_output=True, msg="usecases=[]"),
        entry("train", 1, raw_output=True, msg="training"),
        entry("changes", 2, jobResult="success"),
        entry("train", 9, jobResult="failure"),
    ]
    changes, train = act_log.read(log)
    assert (changes.id, changes.name, changes.result, changes.seconds) == ("changes", "release/changes", "success", 2.0)
    assert (train.result, train.seconds, train.lines) == ("failure", 8.0, ["training"])


def test_steps_of_the_job_are_listed_and_those_within_actions_or_around_it_are_not():
    log = [
        step("build", 1, "Build the images", "success"),
        step("build", 1, "run in an action", "success", ids=["0", "1"]),
        step("build", 2, "Build the images", "success", stage="Post"),
        step("build", 3, "Sign", "failure"),
    ]
    [build] = act_log.read(log)
    assert build.steps == [StepRun("Build the images", "success", 1.5), StepRun("Sign", "failure", 1.5)]
    assert build.failed_step == "Sign"


def test_the_reason_is_the_last_error_even_if_other_lines_follow():
    log = [
        entry("staging", 1, raw_output=True, msg="error: too early"),
        entry("staging", 2, raw_output=True, msg="\x1b[31merror: the smoke test failed\x1b[0m\r\n"),
        entry("staging", 3, raw_output=True, msg="make: *** [Makefile:3: deploy] Error 1"),
        entry("staging", 4, raw_output=True, msg=" "),
    ]
    [staging] = act_log.read(log)
    assert staging.reason == "error: the smoke test failed"


def test_an_annotation_is_a_reason_and_a_summary_is_kept():
    log = [
        entry("sign", 1, command="error", arg="the key is missing", msg="  ❗  ::error::the key is missing"),
        entry("sign", 1, command="summary", content="# Signed\n", msg="  ⚙  Summary - # Signed"),
        entry("sign", 2, raw_output=True, msg="bye"),
    ]
    [sign] = act_log.read(log)
    assert (sign.reason, sign.summaries) == ("::error::the key is missing", ["# Signed\n"])


def test_what_act_itself_prints_is_left_out():
    log = ["Error: Job 'staging' failed\n", "[1]", json.dumps({"level": "info", "msg": "Using docker host"})]
    assert act_log.read(log) == []
