"""Alertmanager's webhook: valid alerts request retraining, anything else gets a clear error and no run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitoring.retraining import alertmanager_webhook
from monitoring.retraining.decisions import Decisions
from slipway.errors import ServiceError, SettingsError, SlipwayError, UseCaseError
from slipway.settings import settings
from slipway.trace_context import current_trace_id
from tests.support import watch_app
from tests.support.prediction_log import watched_loans as loans

SECRET = "a secret of alertmanager's"
HEADERS = {"Authorization": f"Bearer {SECRET}"}
FIRING = {"status": "firing", "labels": {"alertname": "Drift", "usecase": "loans", "retraining": "drift"}}


def message(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As Alertmanager 0.28 sends it."""
    alerts = [{"annotations": {}, "startsAt": "2026-03-01T12:00:00Z", "fingerprint": "f", **alert} for alert in found]
    return {"version": "4", "groupKey": "{}", "receiver": "slipway", "truncatedAlerts": 0, "alerts": alerts, **more}


def firing(**labels: str) -> dict[str, Any]:
    return {"status": "firing", "labels": {"alertname": "Drift", **labels}}


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """The recorded requests, each of them refused: the rules are not tested here."""
    found: list[tuple[str, str, str]] = []

    def refuse(usecase: str, reason: str, source: str, evidence: dict[str, Any], config: Any) -> Any:
        found.append((usecase, reason, evidence["alert"]))
        decision = {"reason": "Retraining is paused.", "asked_for": reason, "asked_by": source, "version": "1"}
        return Decisions(config, usecase).refuse(datetime.now(UTC), "paused", **decision)

    monkeypatch.setattr(alertmanager_webhook, "request_retraining", refuse)
    return found


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., httpx.Response]:
    """Sends a message, or raw content, to the watch process' application."""
    loans.write_usecase(tmp_path / "usecases", monkeypatch)
    monkeypatch.setenv("SLIPWAY_ALERT_SECRET", SECRET)
    settings.cache_clear()

    def send(content: Any, headers: dict[str, str] = HEADERS) -> httpx.Response:
        return asyncio.run(_post(content if isinstance(content, bytes) else json.dumps(content).encode(), headers))

    return send


async def _post(content: bytes, headers: dict[str, str], times: int = 1) -> httpx.Response:
    async with watch_app.connect(watch_app.build_empty()) as client:
        answers = [client.post("/alerts", content=content, headers=headers) for _ in range(times)]
        return (await asyncio.gather(*answers))[-1]


def test_a_firing_alert_requests_retraining_and_receives_the_decision(post, requested) -> None:
    answer = post(message(FIRING))
    assert (answer.status_code, requested) == (200, [("loans", "drift", "Drift")])
    [decision] = answer.json()["decisions"]
    assert (decision["outcome"], decision["reason"]) == ("refused", "Retraining is paused.")


def test_the_training_that_an_alert_asks_for_is_in_its_callers_trace(post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's run has it as a tag (slipway.clients.prefect)."""
    traces: list[str | None] = []

    def note(*_: Any) -> Any:
        traces.append(current_trace_id())
        raise ServiceError("enough")

    monkeypatch.setattr(alertmanager_webhook, "request_retraining", note)
    post(message(FIRING), HEADERS | {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    post(message(FIRING))
    post(message(FIRING), HEADERS | {"traceparent": "none"})
    assert traces[0] == "a" * 32
    assert None not in traces and len(set(traces)) == 3, "without a trace of its caller each has its own"
    assert current_trace_id() is None


def test_without_a_registry_the_decision_is_refused_for_that(post) -> None:
    [decision] = post(message(FIRING)).json()["decisions"]
    assert (decision["rule"], decision["asked_by"]) == ("registry", "alertmanager")
    assert decision["evidence"] == {"alert": "Drift", "since": "2026-03-01T12:00:00Z"}


def test_an_alert_that_is_repeated_asks_once_a_message_and_is_counted(post, requested) -> None:
    for _ in range(3):
        [decision] = post(message(*[FIRING] * 50)).json()["decisions"]
    assert (len(requested), decision["times"]) == (3, 3)


def test_a_resolved_alert_asks_for_nothing_and_is_no_error(post, requested) -> None:
    answer = post(message({**FIRING, "status": "resolved"}))
    assert (answer.status_code, answer.json()["decisions"], requested) == (200, [], [])
    assert answer.json()["ignored"] == [{"alert": "Drift", "why": "The alert is resolved."}]


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({}, "no label `usecase`"),
        ({"usecase": "loan", "retraining": "drift"}, "There is no use case 'loan'. Did you mean 'loans'?"),
        ({"usecase": "../loans", "retraining": "drift"}, "There is no use case '../loans'"),
        ({"usecase": "loans"}, "label `retraining` is missing"),
        ({"usecase": "loans", "retraining": "server down"}, "`retraining` is 'server down'; it must be"),
    ],
)
def test_an_alert_without_use_case_or_reason_is_refused_and_the_others_are_processed(
    post, requested, labels: dict[str, str], why: str
) -> None:
    watch_app.check_problem(post(message(firing(**labels))), 422, why)
    assert requested == []
    answer = post(message(firing(**labels), FIRING))
    assert (answer.status_code, len(requested)) == (200, 1)
    assert why in answer.json()["ignored"][0]["why"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer another secret of nobody"},
        {"Authorization": f"Bearer {SECRET}s"},
        {"Authorization": f"Basic {SECRET}"},
        {"Authorization": b"Bearer \xff\xfe"},
    ],
)
def test_a_forged_message_is_refused_before_it_is_read(post, requested, headers: dict[str, str]) -> None:
    answer = post(b"not even JSON", headers)
    watch_app.check_problem(answer, 401, "SLIPWAY_ALERT_SECRET")
    assert (answer.headers["www-authenticate"], requested) == ("Bearer", [])
    assert SECRET not in answer.text


def test_without_a_secret_no_alert_is_taken(post, requested, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_ALERT_SECRET")
    settings.cache_clear()
    watch_app.check_problem(post(message(FIRING)), 404, "set SLIPWAY_ALERT_SECRET")
    assert requested == []


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b'{"version": "4", "alerts": [{"status": "firing", "labels": {"a": "\xff"}}]}', 400, "not JSON"),
        (b"[" * 100_000, 400, "nested more than 32 deep"),
        (b"[]", 422, "no message of Alertmanager"),
        (b'{"version": "3", "alerts": []}', 422, "`$.version`"),
        (b'{"version": "4", "alerts": []}', 422, "contains no alert"),
        (b'{"version": "4", "alerts": [{"status": "firing", "labels": {"usecase": 7}}]}', 422, "$.alerts[0].labels"),
        (b'{"version": "4", "alerts": [{"status": "burning", "labels": {}}]}', 422, "$.alerts[0].status"),
        (b" " * ((1 << 20) + 1), 413, "at most 1,048,576 bytes"),
    ],
)
def test_a_malformed_message_is_refused_with_the_reason(
    post, requested, content: bytes, status: int, words: str
) -> None:
    watch_app.check_problem(post(content), status, words)
    assert requested == []


def test_alertmanager_must_retry_if_the_log_fails(post, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise ServiceError("SLIPWAY_LOG_URL=s3://log: S3 does not respond")

    monkeypatch.setattr(alertmanager_webhook, "request_retraining", fails)
    answer = post(message(FIRING))
    watch_app.check_problem(answer, 503, "S3 does not respond")
    assert answer.headers["retry-after"] == "30"


@pytest.mark.parametrize(
    ("error", "status", "alone"),
    [
        (UseCaseError("usecase.yaml: no owner"), 200, 422),
        (ServiceError("S3 does not respond"), 503, 503),
        (SlipwayError("an odd fault"), 500, 500),
    ],
)
def test_a_request_that_cannot_be_decided_keeps_no_other_from_it(
    post, requested, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, alone: int
) -> None:
    (tmp_path / "usecases" / "broken").mkdir()
    (tmp_path / "usecases" / "broken" / "usecase.yaml").write_text("name: [")
    decide = alertmanager_webhook.request_retraining

    def fail(usecase: str, *rest: Any) -> Any:
        if usecase == "broken":
            raise error
        return decide(usecase, *rest)

    monkeypatch.setattr(alertmanager_webhook, "request_retraining", fail)
    broken = firing(usecase="broken", retraining="drift")
    answer = post(message(broken, FIRING))
    assert (answer.status_code, requested) == (status, [("loans", "drift", "Drift")])
    assert str(error) in answer.text
    watch_app.check_problem(post(message(broken)), alone, str(error))


@pytest.mark.parametrize(("namespace", "asks"), [("production", 1), ("staging", 0), ("", 1)])
def test_an_alert_of_another_namespace_is_no_error_and_requests_nothing(
    post, requested, monkeypatch: pytest.MonkeyPatch, namespace: str, asks: int
) -> None:
    monkeypatch.setenv("SLIPWAY_PROMETHEUS_NAMESPACE", "production")
    settings.cache_clear()
    answer = post(message(firing(usecase="loans", retraining="drift", namespace=namespace)))
    assert (answer.status_code, len(requested), len(answer.json()["ignored"])) == (200, asks, 1 - asks)


def test_many_messages_are_processed_one_by_one_and_refused_beyond_a_bound(
    post, requested, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.dumps(message(FIRING)).encode()
    assert asyncio.run(_post(content, HEADERS, times=100)).status_code == 200
    assert len(requested) == 100
    assert Decisions(settings(), "loans").latest().times >= 50, "two at once may count as one"
    monkeypatch.setattr(alertmanager_webhook, "MOST_WAITING", 0)
    watch_app.check_problem(asyncio.run(_post(content, HEADERS, times=100)), 503, "are waiting already")


def test_a_message_that_never_ends_is_given_up(post, requested, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager_webhook, "RECEIVE_SECONDS", 0.05)

    async def slowly() -> httpx.Response:
        async def forever() -> Any:
            while True:
                yield b" "
                await asyncio.sleep(0.02)

        async with watch_app.connect(watch_app.build_empty()) as client:
            return await client.post("/alerts", content=forever(), headers=HEADERS)

    watch_app.check_problem(asyncio.run(slowly()), 408, "did not arrive within")
    assert requested == []


def test_a_secret_that_is_too_short_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_ALERT_SECRET", "short")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="SLIPWAY_ALERT_SECRET: .*at least 16 are needed") as raised:
        settings()
    assert "short" not in str(raised.value)
