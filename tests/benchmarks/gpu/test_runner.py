"""The runner of the GPU benchmark: how a step ended is in the table, and costs no result of another step."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.gpu.check import HELD, NOT_HELD, NOT_RUN, Check
from benchmarks.gpu.environments import Environment
from benchmarks.gpu.runner import Runner, Step

STEP = Step("answers", "serving", "same outputs")
RESULT = """while [ "$1" != --results ]; do shift; done; echo '["one", "held", "fine"]' >>"$2"\n"""


@pytest.fixture
def runner(tmp_path: Path):
    def made(script: str, seconds: float = 30.0, problem: str = "") -> Runner:
        """Make a runner whose interpreter for serving is a script, beside one for training that leaves a result."""
        pythons = {}
        for name, content in (("serving", script), ("training", RESULT)):
            pythons[name] = tmp_path / name
            pythons[name].write_text(f"#!/bin/sh\n{content}")
            pythons[name].chmod(0o755)
        environments = [
            Environment("serving", pythons["serving"], "all", problem),
            Environment("training", pythons["training"], "all"),
        ]
        return Runner(environments, tmp_path, "cpu", time.monotonic() + seconds, quick=True)

    return made


def test_checks_come_stage_by_stage_and_in_their_order(runner) -> None:
    stages = [[STEP, Step("scores", "training", "scores")], [Step("metrics", "training", "metrics")]]
    assert list(runner(RESULT).run(stages)) == [Check("one", HELD, "fine")] * 3


def test_a_step_that_dies_keeps_its_results_and_says_how_it_ended(runner) -> None:
    found = list(runner(RESULT + "echo CUDA is out of memory >&2; exit 3").run([[STEP]]))
    assert found == [Check("one", HELD, "fine"), Check("same outputs", NOT_HELD, "CUDA is out of memory")]


def test_a_crash_of_a_library_names_its_signal(runner) -> None:
    (found,) = runner("kill -SEGV $$").run([[STEP]])
    assert found == Check("same outputs", NOT_HELD, "it was ended by SIGSEGV")


@pytest.mark.slow
def test_a_step_without_time_is_ended_with_what_it_started(runner, tmp_path) -> None:
    script = f"(sleep 1; touch {tmp_path}/late) & sleep 30"
    found = list(runner(script, seconds=0.5).run([[STEP], [Step("scores", "training", "scores")]]))
    assert found == [
        Check("same outputs", NOT_RUN, "the time was over before it ended"),
        Check("scores", NOT_RUN, "the time was over before it began"),
    ]
    time.sleep(1)
    assert not (tmp_path / "late").exists()


def test_without_an_environment_its_steps_are_not_run_and_the_others_are(runner) -> None:
    stages = [[STEP, Step("scores", "training", "scores")]]
    found = list(runner(RESULT, problem="no matching wheel").run(stages))
    assert found == [
        Check("same outputs", NOT_RUN, "no environment for serving: no matching wheel"),
        Check("one", HELD, "fine"),
    ]
