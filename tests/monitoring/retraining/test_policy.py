"""The retraining policy against a real Prefect and a real registry: what starts a training, and what refuses one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.retraining.decisions import Decision, Decisions
from monitoring.retraining.policy import request_retraining
from slipway import audit
from slipway.clients.mlflow.registry import Registry
from slipway.errors import SlipwayError, UseCaseError
from slipway.settings import settings
from tests.monitoring.retraining import requests as made
from tests.support.prediction_log.broken_log import break_log
from tests.support.servers import asking

ROOT = Path(__file__).resolve().parents[3]
NOWHERE = "http://127.0.0.1:9"
DAY = timedelta(days=1)
KILLED = """
import os, signal, sys
from slipway import audit
append = audit.append
def killed(usecase, action, **more):
    return os.kill(os.getpid(), signal.SIGKILL) if action == "retraining.started" else append(usecase, action, **more)
audit.append = killed
from monitoring.retraining.policy import request_retraining
request_retraining(sys.argv[1], "quality", "alertmanager")
"""
ASKING = """
import pathlib, sys, time
from monitoring.retraining.policy import request_retraining
name, gate, times = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
while not gate.exists():
    time.sleep(0.01)
print(*(request_retraining(name, "drift", "alertmanager").outcome for _ in range(times)))
"""


@pytest.fixture
def prefect(prefect_server: str) -> Iterator[str]:
    with asking(prefect_server):
        yield prefect_server


@pytest.fixture
def loans(tmp_path: Path, mlflow_server: str, prefect: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A use case with a champion, 60 new labels and a deployment: nothing refuses its retraining."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("PREFECT_API_URL", prefect)
    name = made.register(mlflow_server, tmp_path)
    made.write_usecase(tmp_path / "usecases", name, monkeypatch)
    made.deploy(name)
    made.label(name, 60)
    return name


@pytest.fixture
def set_variable(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    def change(name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        settings.cache_clear()

    return change


def refused(name: str, rule: str, **more: object) -> Decision:
    decision = request_retraining(name, "drift", "monitor", **more)
    assert (decision.outcome, decision.rule, decision.flow_run_id) == ("refused", rule, None), decision.reason
    return decision


def end_all(name: str) -> None:
    for run in made.runs(name):
        made.end(run)


def test_drift_and_enough_new_labels_start_one_run(loans: str) -> None:
    decision = request_retraining(loans, "drift", "monitor", {"drifted": ["age"]})
    assert (decision.outcome, decision.asked_for, decision.asked_by) == ("started", "drift", "monitor")
    assert decision.reason.startswith("60 labelled rows are new since version 1 was trained")
    assert decision.evidence == {"drifted": ["age"], "labelled_rows": 60}
    [run] = made.runs(loans)
    assert (str(run.id), run.parameters["usecase"]) == (decision.flow_run_id, loans)
    assert {"drift", "asked by monitor"} <= set(run.tags)
    request, line = audit.lines(loans)
    assert (request.action, request.why) == ("retraining.asked", "drift, asked by monitor")
    assert (line.action, line.who, line.version) == ("retraining.started", "slipway policy", "1")
    assert line.evidence["flow_run_id"] == decision.flow_run_id


def test_a_training_under_way_refuses_the_next_ask_and_refusals_of_one_reason_are_one_record(loans: str) -> None:
    started = request_retraining(loans, "drift", "monitor")
    first, *_, last = (refused(loans, "under_way") for _ in range(5))
    assert started.flow_run_id in first.reason
    assert (first.id, last.times) == (last.id, 5)
    assert len(made.runs(loans)) == 1
    actions = [line.action for line in audit.lines(loans)]
    assert actions == ["retraining.asked", "retraining.started", "retraining.refused"]
    assert Decisions(settings(), loans).latest() == last
    assert [one.outcome for one in Decisions(settings(), loans).recent()] == ["refused", "started"]


@pytest.mark.parametrize("state", ["Pending", "Running", "Paused", "Late", "Cancelling"])
def test_whoever_began_a_training_that_waits_or_runs_it_refuses_another(loans: str, state: str) -> None:
    made.begin(loans, state)
    refused(loans, "under_way")


def test_a_training_by_command_is_under_way_and_another_use_case_s_is_not(loans: str) -> None:
    made.begin("somebody_else", "Running", deployed=False)
    made.begin(loans, "Completed", deployed=False)
    assert request_retraining(loans, "drift", "monitor").started
    end_all(loans)
    made.begin(loans, "Running", deployed=False)
    refused(loans, "under_way")


def test_what_a_schedule_plans_or_a_killed_runner_left_pending_refuses_nothing(
    loans: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.clients.prefect.LONGEST_PENDING", timedelta(0))
    made.begin(loans, "Pending")
    made.begin(loans, "Scheduled", scheduled_time=datetime.now(UTC) + DAY)
    assert request_retraining(loans, "drift", "monitor").started


def test_after_a_run_the_cooldown_refuses_then_the_week(loans: str) -> None:
    now = datetime.now(UTC)
    request_retraining(loans, "drift", "monitor")
    end_all(loans)
    assert "the next is allowed at" in refused(loans, "cooldown").reason
    assert request_retraining(loans, "drift", "monitor", now=now + 1.1 * DAY).started
    end_all(loans)
    assert "2 trainings were started in the last 7 days" in refused(loans, "runs_per_week", now=now + 2.2 * DAY).reason
    assert request_retraining(loans, "drift", "monitor", now=now + 8 * DAY).started
    assert len(made.runs(loans)) == 3


def test_a_start_that_a_wrong_clock_dated_ahead_has_no_cooldown_and_is_one_of_the_week(loans: str) -> None:
    now = datetime.now(UTC)
    facts = {"asked_for": "drift", "asked_by": "monitor", "version": "1", "reason": "The clock was wrong."}
    Decisions(settings(), loans).start(now + 300 * DAY, "of-next-year", **facts)
    assert request_retraining(loans, "drift", "monitor").started
    end_all(loans)
    refused(loans, "cooldown")
    refused(loans, "runs_per_week", now=now + 1.1 * DAY)


def test_too_few_new_labels_refuse_until_enough_have_come(
    loans: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.write_usecase(tmp_path / "usecases", loans, monkeypatch, "retraining: {min_labelled_rows: 100}\n")
    assert "60 are new since version 1 was trained, at least 100" in refused(loans, "labels").reason
    made.label(loans, 40)
    assert request_retraining(loans, "drift", "monitor").started


def test_labels_that_the_champion_was_trained_on_are_not_new(
    loans: str, mlflow_server: str, set_variable: Callable[[str, str], None]
) -> None:
    registry = Registry(mlflow_server)
    registry.set_version_tag(loans, "1", "slipway.cutoff", (datetime.now(UTC) + timedelta(minutes=1)).isoformat())
    assert refused(loans, "labels").evidence["labelled_rows"] == 0
    registry.set_version_tag(loans, "1", "slipway.cutoff", (datetime.now(UTC) - timedelta(minutes=2)).isoformat())
    made.label(loans, 10, known="2026-01-01T00:00:00Z")
    late = request_retraining(loans, "drift", "monitor")
    assert late.evidence["labelled_rows"] == 70, "predicted before the cut-off, labelled after it, whatever they say"


def test_a_person_pauses_retraining_with_a_tag(loans: str, mlflow_server: str) -> None:
    Registry(mlflow_server).set_model_tag(loans, "slipway.retraining", "paused: jo: audit until May")
    assert "paused: jo: audit until May" in refused(loans, "paused").reason
    Registry(mlflow_server).set_model_tag(loans, "slipway.retraining", "")
    assert request_retraining(loans, "drift", "monitor").started


def test_a_use_case_is_retrained_for_the_reasons_that_it_lists(
    loans: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.write_usecase(
        tmp_path / "usecases", loans, monkeypatch, "retraining: {reasons: [quality], min_labelled_rows: 9}\n"
    )
    assert "is retrained only for quality" in refused(loans, "not_listed").reason
    assert request_retraining(loans, "quality", "monitor").started


def test_an_ask_that_makes_no_sense_is_an_error(loans: str) -> None:
    with pytest.raises(SlipwayError, match="'boredom' is no reason for a training. Allowed: drift, quality"):
        request_retraining(loans, "boredom", "monitor")
    with pytest.raises(UseCaseError, match="no use case 'nobody'"):
        request_retraining("nobody", "drift", "monitor")
    assert not made.runs(loans)


@pytest.mark.parametrize(("variable", "rule"), [("MLFLOW_TRACKING_URI", "registry"), ("PREFECT_API_URL", "prefect")])
def test_a_server_that_is_gone_refuses_and_the_next_ask_starts(
    loans: str, variable: str, rule: str, set_variable: Callable[[str, str], None]
) -> None:
    there = os.environ[variable]
    set_variable(variable, NOWHERE)
    assert "does not respond" in refused(loans, rule).reason
    set_variable(variable, there)
    assert request_retraining(loans, "drift", "monitor").started


def test_without_a_deployment_or_a_model_the_decision_says_so(
    prefect: str, mlflow_server: str, tmp_path: Path, set_variable: Callable[[str, str], None], monkeypatch
) -> None:
    set_variable("MLFLOW_TRACKING_URI", mlflow_server)
    set_variable("PREFECT_API_URL", prefect)
    name = made.register(mlflow_server, tmp_path)
    made.write_usecase(tmp_path / "usecases", name, monkeypatch)
    made.label(name, 60)
    assert f"404 to GET deployments/name/train/{name}" in refused(name, "prefect").reason
    made.write_usecase(tmp_path / "usecases", "unregistered", monkeypatch)
    assert "404" in refused("unregistered", "registry").reason


def test_a_log_that_cannot_be_written_starts_nothing(
    loans: str, tmp_path: Path, set_variable: Callable[[str, str], None]
) -> None:
    (tmp_path / "file").write_text("no folder")
    set_variable("SLIPWAY_LOG_URL", str(tmp_path / "file"))
    with pytest.raises(OSError):
        request_retraining(loans, "drift", "monitor")
    assert not made.runs(loans)


def test_a_start_whose_process_is_killed_before_it_is_recorded_is_found_and_no_second_one_begins(loans: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, loans], cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    [run] = made.runs(loans)
    assert Decisions(settings(), loans).latest() is None
    refused(loans, "under_way")
    [start] = [one for one in Decisions(settings(), loans).recent() if one.started]
    assert (start.flow_run_id, start.asked_for, start.asked_by) == (str(run.id), "quality", "alertmanager")
    made.end(run)
    refused(loans, "cooldown")
    assert request_retraining(loans, "drift", "monitor", now=datetime.now(UTC) + 2 * DAY).flow_run_id != str(run.id)


def test_a_hundred_asks_from_several_processes_start_one_run(loans: str, var: Path, tmp_path: Path) -> None:
    """Two of the four share neither a lock nor a disk with the others, only the log: as on two machines."""
    gate, log = tmp_path / "go", var / "log"
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(var / "spool", elsewhere / "spool")
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", ASKING, loans, str(gate), "25"],
            cwd=ROOT,
            env={**os.environ, "SLIPWAY_VAR": str(folder), "SLIPWAY_LOG_URL": str(log)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder in (var, elsewhere, var, elsewhere)
    ]
    try:
        assert [process.stdout.readline() for process in asking] == ["ready\n"] * 4
        gate.touch()
        outcomes = " ".join(process.communicate(timeout=240)[0] for process in asking).split()
    finally:
        for process in asking:
            process.kill()
    assert len(outcomes) == 100
    assert len(made.runs(loans)) == 1
    assert len(Decisions(settings(), loans).starts()) == 1
    assert outcomes.count("started") <= 2, "one for each side that saw no other record yet"


def test_broken_files_of_the_log_hide_no_label_and_are_in_the_evidence(loans: str) -> None:
    break_log(settings(), loans)
    decision = request_retraining(loans, "drift", "alertmanager")
    assert (decision.outcome, decision.evidence["labelled_rows"]) == ("started", 60)
    assert "broken in 6 files" in decision.evidence["left_out"]
