"""Checks of the demo on given observations; the demo itself is run by `.ci/run`."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from scenarios.demo import Demo, assertions, traffic
from scenarios.harness import release_checks, scheduled_monitor
from scenarios.harness.checks import Check, table
from scenarios.harness.jobs import Jobs
from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel
from slipway.clients.prefect import PrefectClient
from slipway.config import load
from slipway.errors import ServiceError
from slipway.local.doctor import Diagnosis
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.support.prediction_log.sample_events import USECASE, prediction

VERDICT = {
    "verdict": "drift",
    "window": {"rows": 240},
    "features": [{"name": "duration", "drifted": True}, {"name": "age", "drifted": False}],
}


def test_drift_counts_only_where_the_feature_that_was_changed_is_named_and_no_other():
    assert assertions.check_verdict("loans", VERDICT, "drift", "duration").held
    assert not assertions.check_verdict("loans", VERDICT, "drift", "age").held
    assert not assertions.check_verdict("loans", VERDICT, "none", None).held
    both = {**VERDICT, "features": [{"name": "duration", "drifted": True}, {"name": "age", "drifted": True}]}
    assert not assertions.check_verdict("loans", both, "drift", "duration").held
    nothing = {**VERDICT, "features": []}
    assert not assertions.check_verdict("loans", nothing, "drift", "duration").held


def test_an_image_feature_is_named_by_its_statistics():
    verdict = {**VERDICT, "features": [{"name": "image_brightness", "drifted": True}]}
    assert assertions.check_verdict("digits", verdict, "drift", "image").held


def test_too_little_data_is_neither_verdict():
    verdict = {**VERDICT, "verdict": "too_little_data", "features": []}
    assert not assertions.check_verdict("loans", verdict, "none", None).held
    assert not assertions.check_verdict("loans", verdict, "drift", "age").held


def test_a_swap_counts_only_if_both_versions_answered():
    assert assertions.check_swapped("loans", {"1": 90, "2": 60}, "1", "2").held
    assert not assertions.check_swapped("loans", {"2": 150}, "1", "2").held
    assert not assertions.check_swapped("loans", {"1": 150}, "1", "2").held


@pytest.mark.parametrize(
    ("logged", "missing", "held"),
    [(["1", "2"], [], True), (["1", "2", "3"], [], True), (["2"], [], False), (["1", "2"], ["evidently"], False)],
)
def test_a_scheduled_monitor_counts_only_over_both_versions_and_with_every_report(var, logged, missing, held):
    writer = Writer(settings().spool, USECASE, "prediction")
    for version in logged:
        writer.write(prediction(f"r{version}").replace(b'"model_version":"1"', f'"model_version":"{version}"'.encode()))
    writer.close()
    window = {"since": "2026-03-01", "until": "2026-03-02"}
    verdict = VERDICT | {"window": window, "missing_reports": missing, "notes": ["No detailed page: broken."]}
    check = scheduled_monitor.check_all_versions_and_reports(USECASE, verdict, ["1", "2"])
    assert check.held is held, check.observed
    assert ("broken" in check.observed) is bool(missing)


def test_one_failed_request_fails_the_check():
    report = {"sent": 150, "failures": 1, "latency_ms": {"p99": 9.0}, "drift": None, "feature": None}
    assert not traffic.check_answered("loans", report).held
    assert traffic.check_answered("loans", {**report, "failures": 0}).held


def test_the_check_of_a_refused_version_names_its_gates(monkeypatch):
    class Registry:
        def versions(self, name):
            return [ModelVersion(name, "3", "run", "source", {"slipway.gate": "refused"})]

        def model(self, name):
            return type("Model", (), {"aliases": {"challenger": "2"}})

    newest, check = release_checks.check_challenger(Registry(), "loans")
    assert newest.version == "3"
    assert (check.held, check.observed) == (False, "gates refused, challenger is 2")


class Versions:
    """Registry of versions with these gates, the newest first; the challenger is the newest that passed."""

    def __init__(self, **gates: str) -> None:
        tags = {number: {"slipway.gate": gate} for number, gate in gates.items()}
        self._versions = [ModelVersion("loans", number[1:], "run", "source", tags[number]) for number in tags]

    def versions(self, name):
        return self._versions

    def model(self, name):
        passed = [version.version for version in self._versions if version.tags["slipway.gate"] == "passed"]
        return RegisteredModel(name, {"challenger": passed[0]} if passed else {})


@pytest.mark.parametrize(
    ("gates", "besides", "goes_on", "held"),
    [
        ({"v1": "passed"}, None, "1", True),
        ({"v2": "passed", "v1": "passed"}, "1", "2", True),
        ({"v1": "failed"}, None, "1", False),
        ({"v2": "failed", "v1": "passed"}, "1", "2", False),
        ({"v3": "failed", "v2": "passed", "v1": "passed"}, None, "2", True),
        ({"v4": "failed", "v3": "passed", "v2": "failed", "v1": "passed"}, "3", "1", True),
        ({"v2": "no verdict", "v1": "passed"}, None, "2", False),
    ],
)
def test_gates_that_fail_in_a_repeated_run_do_not_end_it_and_an_earlier_version_goes_on(gates, besides, goes_on, held):
    version, check = assertions.check_trained(Versions(**gates), "loans", besides)
    assert (version.version, check.held) == (goes_on, held)
    newest = next(iter(gates)).removeprefix("v")
    assert check.what == f"version {newest} registered"
    assert (f"version {goes_on} of an earlier run goes on" in check.observed) is (goes_on != newest)


def test_a_version_that_servers_refused_does_not_go_on():
    registry = Versions(v3="failed", v2="passed", v1="passed")
    registry.versions("loans")[1].tags["slipway.refused"] = "slow"
    version, _ = assertions.check_trained(registry, "loans", None)
    assert version.version == "1"


@pytest.mark.parametrize(("name", "kind"), [("digits", "brightness"), ("credit_risk", "shift")])
def test_the_kind_of_drift_fits_the_use_case(name, kind):
    assert traffic.fitting_drift(load(name)) == kind


def test_the_table_marks_what_did_not_hold():
    lines = table([Check("all", "doctor", True, "24 findings"), Check("digits", "served", False, "version 1")])
    assert lines[0].split() == ["ok", "all", "doctor", "24", "findings"]
    assert lines[1].lstrip().startswith("FAIL  digits")


def test_a_demo_that_checked_nothing_did_not_hold():
    assert not Demo([], print).result.held


@pytest.mark.parametrize(
    ("finding", "message"),
    [
        (
            Diagnosis("disk", "error", "0.1 GB free in /", "free at least 2 GB"),
            "0.1 GB free in /. Fix: free at least 2 GB",
        ),
        (Diagnosis("packages", "warning", "tensorflow missing", "make demo"), "tensorflow missing. Fix: make demo"),
    ],
)
def test_a_finding_of_the_doctor_ends_the_demo_before_anything_is_written(monkeypatch, var, cli, finding, message):
    monkeypatch.setattr("scenarios.demo.scenario.examine", lambda: iter([finding]))
    ran = cli("demo")
    assert ran.code == 1
    assert f"error: {message}" in ran.err
    assert "It did not finish" in ran.out
    assert not var.exists()


def test_the_error_of_a_command_without_a_result_has_its_last_line(tmp_path):
    with Jobs(tmp_path) as jobs, pytest.raises(ServiceError, match=r"slipway monitor nothing.*no use case 'nothing'"):
        jobs.start("monitor", "nothing").result()


def test_a_command_that_is_interrupted_gives_the_result_of_what_it_did(tmp_path, monkeypatch):
    # As `slipway traffic` does: a shell has Ctrl-C ignored for what it runs in the background.
    handler = "import time, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    sleeper = "try:\n open('ready', 'w').close()\n time.sleep(60)\nexcept KeyboardInterrupt: print('{\"sent\": 3}')"
    (tmp_path / "slipway").mkdir()
    (tmp_path / "slipway" / "__init__.py").write_text("")
    (tmp_path / "slipway" / "cli.py").write_text(f"{handler}\n{sleeper}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Jobs(tmp_path, "loop") as jobs:
        job = jobs.start("traffic")
        while not (tmp_path / "ready").exists():
            time.sleep(0.05)
        job.interrupt()
        assert job.result() == {"sent": 3}
    assert (tmp_path / "loop-traffic.log").exists()


def test_commands_that_still_run_end_with_the_demo(tmp_path):
    with Jobs(tmp_path) as jobs:
        job = jobs.start("doctor")
    assert not job.running


class FlowRuns(BaseHTTPRequestHandler):
    """Prefect server that has one deployment, whose run completes at the second poll."""

    polls = 0
    busy = 0

    def do_GET(self):
        if FlowRuns.busy:
            FlowRuns.busy -= 1
            return self._respond({"exception_message": "Service Unavailable"}, 503)
        if self.path.startswith("/api/deployments/name/train/loans"):
            return self._respond({"id": "d1", "parameters": {"usecase": "loans"}})
        if self.path == "/api/flow_runs/r1":
            FlowRuns.polls += 1
            state = "RUNNING" if FlowRuns.polls < 2 else "COMPLETED"
            return self._respond({"id": "r1", "state": {"type": state, "message": None}, "total_run_time": 7.0})
        return self._respond({"detail": "not found"}, 404)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/task_runs/filter":
            return self._respond([{"name": "split-4f2", "state_type": "COMPLETED", "total_run_time": 1.0}])
        return self._respond({"id": "r1", "sent": body}, 201)

    def _respond(self, body, status=200):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def prefect(monkeypatch):
    monkeypatch.setattr("slipway.clients.prefect.POLL_SECONDS", 0.01)
    monkeypatch.setattr("slipway.clients.prefect.BUSY_SECONDS", 0.01)
    FlowRuns.polls = FlowRuns.busy = 0
    server = HTTPServer(("127.0.0.1", 0), FlowRuns)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield PrefectClient(f"http://127.0.0.1:{server.server_port}/api")
    server.shutdown()
    server.server_close()


def test_a_flow_run_is_waited_for_and_each_task_is_reported_once(prefect):
    lines = []
    run = prefect.start("train/loans", {"overrides": {}})
    done = prefect.wait({"loans": run}, lines.append)
    assert done["loans"].completed
    assert lines == ["  loans: split completed (1 s)"]


def test_a_busy_server_is_retried_until_the_time_is_over(prefect):
    FlowRuns.busy = 3
    assert prefect.start("train/loans", {}) == "r1"
    FlowRuns.busy = 100
    with pytest.raises(ServiceError, match="Prefect answered 503"):
        prefect.start("train/loans", {})


def test_the_error_of_a_missing_deployment_names_it(prefect):
    with pytest.raises(ServiceError, match="Prefect answered 404 to GET deployments/name/train/nothing"):
        prefect.start("train/nothing", {})
