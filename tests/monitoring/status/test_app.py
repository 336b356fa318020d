from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette

from monitoring.analysis import verdict
from monitoring.release.reconciler import Reconciled
from monitoring.release.server_status import Served, ServedGate, ServerStatus
from monitoring.retraining.decisions import Decisions
from monitoring.rollout import RolloutView
from monitoring.rollout.decision import EvidenceResult
from monitoring.status import dashboard
from monitoring.status.app import application, read_report
from monitoring.status.pass_metrics import PassMetrics
from slipway.local.state import ServiceStatus, StackLock, State
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.support import watch_app
from tests.support.server_views import served

DOWN = ServerStatus("http://a", error="http://a does not respond: refused.")


@pytest.fixture(autouse=True)
def no_service(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server on port 3000 of this machine is polled."""
    monkeypatch.setenv("SLIPWAY_SERVERS", "http://127.0.0.1:9")
    settings.cache_clear()


def finding(name: str, drifted: bool, effect: float, method: str = "ks") -> dict[str, Any]:
    return {
        "name": name,
        "method": method,
        "drifted": drifted,
        "effect": {"measure": "wasserstein", "value": effect, "minimum": 0.1},
    }


def a_verdict(kind: str = "drift", **more: Any) -> dict[str, Any]:
    return {
        "usecase": "loans",
        "created": "2026-01-31T12:00:00.000Z",
        "version": "3",
        "verdict": kind,
        "sentence": "Drift in age & <b>job</b>.",
        "features": [finding("age", True, 0.8), finding("age", False, 0.0, "chi2_missing")],
        "predictions": [finding("prediction.score", False, 0.05)],
        "quality": {"coverage": 0.25, "metrics": {"accuracy": {"value": 0.9}}, "sentence": "25 of 100 have a label."},
        "synthetic": True,
        "report": "20260131T120000000000Z.html",
        **more,
    }


@pytest.fixture
def leave(var: Path) -> Callable[..., Path]:
    """Leaves a verdict and its report, as `slipway monitor` does, and returns their folder."""

    def write(usecase: str = "loans", **more: Any) -> Path:
        folder = Path(settings().log_root) / verdict.folder(settings(), usecase)
        folder.mkdir(parents=True)
        found = a_verdict(**more)
        found["report"] = str(folder / found["report"])
        (folder / "20260131T120000000000Z.html").write_text("<h1>the report</h1>")
        verdict.write(settings(), found, "20260131T120000000000Z.json")
        return folder

    return write


class Client:
    """Asks the application without a socket."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    def get(self, path: str, **headers: str) -> httpx.Response:
        async def call() -> httpx.Response:
            async with watch_app.connect(self._app) as client:
                return await client.get(path, headers=headers)

        return asyncio.run(call())


def client(*passes: Reconciled, is_alive: bool = True) -> Client:
    return Client(application(settings(), lambda: dashboard.gather(settings(), passes), lambda: is_alive))


def serving(usecase: str = "loans", versions: tuple = ("3", "3"), **more: Any) -> Reconciled:
    return Reconciled(usecase, {"champion": "3"}, [served("http://a", list(versions))], **more)


def test_the_page_shows_version_verdict_report_and_label_coverage(leave: Callable[..., Path]) -> None:
    leave()
    page = client(serving()).get("/")
    assert page.status_code == 200
    for part in ("version 3", "2 workers", "synthetic data", "drift", "25 %", "http://a/#loans", "/#/models/loans"):
        assert part in page.text, part
    assert 'href="/verdicts/loans/20260131T120000000000Z.html"' in page.text
    assert "&lt;b&gt;job&lt;/b&gt;" in page.text


def test_the_status_is_available_as_json(leave: Callable[..., Path]) -> None:
    leave()
    found = client(serving(tag="serving: 2 of 2 workers since T")).get("/api/status").json()
    assert found["environment"] == "local"
    assert [part["name"] for part in found["parts"]] == ["mlflow", "prefect", "service"]
    assert not any(part["ok"] for part in found["parts"])
    loans = found["usecases"][0]
    assert (loans["versions"], loans["workers"], loans["synthetic"]) == (["3"], 2, True)
    assert loans["verdict"]["quality"]["coverage"] == 0.25


def test_common_warnings_are_shown_once_and_others_with_their_model() -> None:
    silent = "the registry does not respond."
    page = client(Reconciled("loans", {}, [DOWN], error=silent), Reconciled("cars", {}, [DOWN], error=silent)).get("/")
    assert page.text.count(silent) == page.text.count(DOWN.error) == 1
    found = client(serving(), Reconciled("cars", {}, [DOWN], error=silent)).get("/api/status").json()
    assert found["trouble"] == []
    assert [one["trouble"] for one in found["usecases"]] == [[], [silent, DOWN.error]]


def test_a_refusal_and_two_versions_at_once_are_shown() -> None:
    page = client(serving(versions=("2", "3"), tag="refused: its gates failed.")).get("/").text
    assert "version 2 and 3" in page
    assert "version 3: refused: its gates failed." in page


def test_the_last_decision_on_retraining_is_on_the_page_and_all_on_their_own(leave: Callable[..., Path]) -> None:
    leave()
    decisions, at = Decisions(settings(), "loans"), datetime.now(UTC) - timedelta(hours=3)
    request = {"asked_for": "drift", "asked_by": "alertmanager", "version": "3"}
    decisions.start(at, "run-1", reason="812 labelled rows are new.", **request)
    page = client(serving()).get("/").text
    for part in ("Retraining started.", "812 labelled rows", "reason: drift, requested by alertmanager", "3 h ago"):
        assert part in page, part
    assert f'href="{settings().prefect_uri.removesuffix("/api")}/runs/flow-run/run-1"' in page
    for _ in range(17):
        decisions.refuse(at, "cooldown", reason="`cooldown` of <b>24</b> h.", **request)
    page = client(serving()).get("/").text
    assert "Retraining not started." in page
    assert "requested by alertmanager 17 times" in page
    assert "<code>cooldown</code> of &lt;b&gt;24" in page
    every = client(serving()).get("/retraining/loans")
    assert "default-src 'self'" in every.headers["content-security-policy"]
    assert "812 labelled rows" in every.text
    assert every.text.count("<tr>") == 3
    assert "No training has been requested" in client(serving()).get("/retraining/cars").text
    assert client(serving()).get("/retraining/..%2floans").status_code == 404


def test_an_override_is_shown_with_who_and_why() -> None:
    look = ServerStatus("http://a", Served(version="3", gate=ServedGate(False, "ann: ten customers who <know>")))
    found = client(Reconciled("loans", {"champion": "3"}, [look, look]))
    shown = "It is served although its gates failed, by an override: ann: ten customers who &lt;know&gt;"
    assert found.get("/").text.count(shown) == 1
    assert found.get("/api/status").json()["usecases"][0]["overridden"] == ["ann: ten customers who <know>"]
    assert "gates failed" not in client(serving()).get("/").text


def test_a_use_case_without_a_verdict_says_how_to_get_one() -> None:
    assert "slipway monitor loans" in client(serving()).get("/").text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe{",
        b"[" * 10_000,
        json.dumps(a_verdict(created="yesterday")).encode(),
        json.dumps(a_verdict(features=[{"name": "age"}])).encode(),
        json.dumps(a_verdict(quality={"coverage": "much"})).encode(),
        json.dumps(a_verdict(notes=5)).encode(),
        json.dumps(a_verdict()).encode()[:-1] + b', "left_out": {"named": ' + b"[" * 100_000,
    ],
)
def test_a_broken_verdict_is_no_verdict_and_breaks_nothing(leave: Callable[..., Path], content: bytes) -> None:
    folder = leave()
    (folder / "latest.json").write_bytes(content)
    assert client(serving()).get("/").status_code == 200
    assert "slipway_drift_detected{" not in client(serving()).get("/metrics").text


def test_a_page_before_the_first_pass_is_a_page() -> None:
    assert "No use case has been polled yet" in client().get("/").text


def test_the_last_verdicts_are_metrics(leave: Callable[..., Path]) -> None:
    leave()
    lines = client(serving()).get("/metrics").text.splitlines()
    for line in (
        'slipway_drift_score{feature="age",method="ks",usecase="loans"} 0.8',
        'slipway_drift_score{feature="age",method="chi2_missing",usecase="loans"} 0.0',
        'slipway_drift_score{feature="prediction.score",method="ks",usecase="loans"} 0.05',
        'slipway_drift_detected{usecase="loans"} 1.0',
        'slipway_quality{metric="accuracy",usecase="loans",version="3"} 0.9',
        'slipway_label_coverage_ratio{usecase="loans"} 0.25',
        'slipway_verdict_timestamp_seconds{usecase="loans"} 1.7698608e+09',
    ):
        assert line in lines, line


def test_too_little_data_is_no_alarm_and_without_labels_there_is_no_quality(leave: Callable[..., Path]) -> None:
    leave(kind="too_little_data", quality=None, features=[], predictions=[])
    text = client(serving()).get("/metrics").text
    assert 'slipway_drift_detected{usecase="loans"} 0.0' in text
    assert "slipway_label_coverage_ratio{" not in text


def test_the_shippers_lag_is_a_metric() -> None:
    writer = Writer(settings().spool, "loans", "prediction")
    writer.write(b"{}\n")
    text = client(serving()).get("/metrics").text
    writer.close()
    assert 'slipway_prediction_log_lag_seconds{usecase="loans"} 0.' in text


def test_reports_are_served_and_can_reach_nothing_of_this_page(leave: Callable[..., Path]) -> None:
    leave()
    answer = client(serving()).get("/verdicts/loans/20260131T120000000000Z.html")
    assert answer.text == "<h1>the report</h1>"
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client(serving()).get("/verdicts/loans/latest.json").json()["version"] == "3"


@pytest.mark.parametrize(
    "path",
    [
        "/verdicts/loans/../secret.html",
        "/verdicts/loans/..%2f..%2fsecret.html",
        "/verdicts/loans/%2e%2e/secret.html",
        "/verdicts/..%2f/secret.html",
        "/verdicts/loans/%2fetc%2fpasswd",
        "/verdicts/loans/.hidden.html",
        "/verdicts/loans/notes.txt",
        "/verdicts/loans/link.html",
        "/verdicts/loans/nothing.html",
        "/verdicts/nobody/latest.json",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
    ],
)
def test_nothing_but_a_verdicts_files_is_served(leave: Callable[..., Path], path: str) -> None:
    folder = leave()
    (folder.parent / "secret.html").write_text("secret")
    (folder / ".hidden.html").write_text("secret")
    (folder / "notes.txt").write_text("secret")
    (folder / "link.html").symlink_to(folder.parent / "secret.html")
    answer = client(serving()).get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_the_page_is_shown_without_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_LOG_URL", "s3://bucket/log")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    settings.cache_clear()
    assert read_report(settings(), "loans", "latest.json") is None
    assert client(serving()).get("/").status_code == 200
    assert "cannot be read" in client(serving()).get("/retraining/loans").text


def test_health_is_that_pictures_are_still_taken() -> None:
    for path in ("/livez", "/healthz"):
        assert client().get(path).status_code == 200
        assert client(is_alive=False).get(path).status_code == 503


def test_the_page_brings_all_it_needs_and_runs_nothing_of_others() -> None:
    running = client(serving())
    assert "default-src 'self'" in running.get("/").headers["content-security-policy"]
    for name in ("page.css", "page.js", "mark.svg"):
        assert running.get(f"/static/{name}").status_code == 200


def test_a_running_stacks_processes_are_on_the_page(var: Path) -> None:
    lock = StackLock(var)
    lock.write(
        State(
            os.getpid(),
            "up",
            {},
            (ServiceStatus("ship", os.getpid(), "ship.log"), ServiceStatus("runner", 2**22, "r.log")),
        )
    )
    try:
        parts = {part["name"]: part for part in client().get("/api/status").json()["parts"]}
    finally:
        lock.release()
    assert (parts["ship"]["ok"], parts["ship"]["log"]) == (True, "ship.log")
    assert not parts["runner"]["ok"]


RUNNING = RolloutView(
    rolled_back=2,
    rolled_back_at="2026-01-31T12:00:00.000000Z",
    version="4",
    champion="3",
    weight=25.0,
    stage=2,
    stages=[5, 25, 50, 100],
    since="2026-01-31T12:00:00.000Z",
    began="2026-01-31T11:00:00.000Z",
    findings=[EvidenceResult("loss where age is < 25", 0.7, 0.2, 21, 300, 0.06, 0.7, 0.05, "harmful")],
    message="waits for 412 of 1,000 predictions.",
)


def rolling(view: RolloutView) -> Client:
    shown = dashboard.gather(settings(), [serving()], {"loans": view})
    return Client(application(settings(), lambda: shown, lambda: True))


def test_a_rollout_is_shown_with_its_stage_and_every_test() -> None:
    page = rolling(RUNNING).get("/").text
    for part in (
        "Version 4 is the canary, at 25 %.",
        "Stage 2 of 4; it waits for 412 of 1,000 predictions.",
        "loss where age is &lt; 25",
        "harmful",
        "0.06 to 0.7",
        "21 of the canary, 300 of the champion; 0.05 more is allowed",
    ):
        assert part in page, part
    assert (
        "version 4 was rolled back"
        in rolling(RolloutView(1, message="version 4 was rolled back: errors.")).get("/").text
    )


def test_a_rollout_is_in_the_metrics() -> None:
    lines = rolling(RUNNING).get("/metrics").text.splitlines()
    assert 'slipway_rollout_weight_percent{usecase="loans",version="4"} 25.0' in lines
    assert 'slipway_rollout_rolled_back_total{usecase="loans"} 2.0' in lines
    assert 'slipway_rollout_rolled_back_timestamp_seconds{usecase="loans"} 1.7698608e+09' in lines
    lines = client(serving()).get("/metrics").text.splitlines()
    assert 'slipway_rollout_rolled_back_total{usecase="loans"} 0.0' in lines


def test_a_scrape_that_says_that_the_first_pass_ended_has_its_use_cases() -> None:
    board = dashboard.gather(settings(), [])
    passes = PassMetrics()

    class EndingPass(Collector):
        """A pass that ends while `/metrics` is collected."""

        def collect(self) -> Iterator[Metric]:
            nonlocal board
            with passes.measured():
                board = dashboard.gather(settings(), [serving()], {"loans": RUNNING})
            yield from passes.collect()

    app = application(settings(), lambda: board, lambda: True, collectors=[EndingPass()])
    text = Client(app).get("/metrics").text
    assert "\nslipway_watch_pass_timestamp_seconds " in text
    assert 'slipway_rollout_rolled_back_total{usecase="loans"}' in text


@pytest.mark.parametrize("path", ["/", "/api/status", "/metrics", "/livez", "/shadow/loans", "/static/page.css", "/no"])
def test_no_page_of_another_site_reads_or_posts_anything(path: str) -> None:
    """By DNS rebinding (Host), or across origins (Origin)."""
    page = client()
    for headers in ({"Host": "evil.example:8080"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = page.get(path, **headers)
        assert (answer.status_code, "asks for no credential" in answer.text) == (403, True)
    assert page.get(path, Host="127.0.0.1:8080", Origin="http://127.0.0.1:8080").status_code != 403


def test_a_status_page_for_a_network_is_reached_by_its_service_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_STATUS_HOST", "0.0.0.0")
    settings.cache_clear()
    page = client()
    assert (
        page.get("/livez", Host="watch:8080").status_code == page.get("/livez", Host="10.1.2.3:8080").status_code == 200
    )
    assert page.get("/livez", Host="evil.example").status_code == 403
    monkeypatch.setenv("SLIPWAY_ALLOWED_HOSTS", "status.example.com")
    settings.cache_clear()
    assert client().get("/livez", Host="status.example.com").status_code == 200
