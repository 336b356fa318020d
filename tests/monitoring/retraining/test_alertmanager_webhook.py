"""Alertmanager's webhook: what is heard asks as everybody does, and everything else gets a clear answer and no run."""

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
from monitoring.status import dashboard
from monitoring.status.app import application
from slipway.errors import ServiceError, SettingsError
from slipway.settings import settings
from tests.support import watched_loans as loans

SECRET = "a secret of alertmanager's"
HEADERS = {"Authorization": f"Bearer {SECRET}"}
FIRING = {"status": "firing", "labels": {"alertname": "Drift", "usecase": "loans", "retraining": "drift"}}


def message(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As Alertmanager 0.28 sends it."""
    whole = [{"annotations": {}, "startsAt": "2026-03-01T12:00:00Z", "fingerprint": "f", **alert} for alert in found]
    return {"version": "4", "groupKey": "{}", "receiver": "slipway", "truncatedAlerts": 0, "alerts": whole, **more}


def firing(**labels: str) -> dict[str, Any]:
    return {"status": "firing", "labels": {"alertname": "Drift", **labels}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """What was asked for, where the rules are not what is tested: each ask is refused."""
    found: list[tuple[str, str, str]] = []

    def ask(usecase: str, reason: str, source: str, evidence: dict[str, Any], config: Any) -> Any:
        found.append((usecase, reason, evidence["alert"]))
        said = {"reason": "Retraining is paused.", "asked_for": reason, "asked_by": source, "version": "1"}
        return Decisions(config, usecase).refuse(datetime.now(UTC), "paused", **said)

    monkeypatch.setattr(alertmanager_webhook, "request_retraining", ask)
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
    app = application(settings(), lambda: dashboard.Dashboard("local", "", [], []), lambda: True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://watch") as client:
        answers = [client.post("/alerts", content=content, headers=headers) for _ in range(times)]
        return (await asyncio.gather(*answers))[-1]


def told(answer: httpx.Response, status: int, words: str) -> None:
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (problem["status"], words in problem["detail"]) == (status, True), problem["detail"]


def test_a_firing_alert_asks_and_is_told_the_decision(post, asked) -> None:
    answer = post(message(FIRING))
    assert (answer.status_code, asked) == (200, [("loans", "drift", "Drift")])
    [decision] = answer.json()["decisions"]
    assert (decision["outcome"], decision["reason"]) == ("refused", "Retraining is paused.")


def test_without_a_registry_the_decision_is_refused_for_that(post) -> None:
    [decision] = post(message(FIRING)).json()["decisions"]
    assert (decision["rule"], decision["asked_by"]) == ("registry", "alertmanager")
    assert decision["evidence"] == {"alert": "Drift", "since": "2026-03-01T12:00:00Z"}


def test_an_alert_that_is_repeated_asks_once_a_message_and_is_counted(post, asked) -> None:
    for _ in range(3):
        [decision] = post(message(*[FIRING] * 50)).json()["decisions"]
    assert (len(asked), decision["times"]) == (3, 3)


def test_a_resolved_alert_asks_for_nothing_and_is_no_error(post, asked) -> None:
    answer = post(message({**FIRING, "status": "resolved"}))
    assert (answer.status_code, answer.json()["decisions"], asked) == (200, [], [])
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
def test_an_alert_that_means_no_use_case_or_no_reason_is_told_and_the_others_are_heard(
    post, asked, labels: dict[str, str], why: str
) -> None:
    told(post(message(firing(**labels))), 422, why)
    assert asked == []
    answer = post(message(firing(**labels), FIRING))
    assert (answer.status_code, len(asked)) == (200, 1)
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
def test_a_forged_message_is_refused_before_it_is_read(post, asked, headers: dict[str, str]) -> None:
    answer = post(b"not even JSON", headers)
    told(answer, 401, "SLIPWAY_ALERT_SECRET")
    assert (answer.headers["www-authenticate"], asked) == ("Bearer", [])
    assert SECRET not in answer.text


def test_without_a_secret_no_alert_is_taken(post, asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_ALERT_SECRET")
    settings.cache_clear()
    told(post(message(FIRING)), 404, "set SLIPWAY_ALERT_SECRET")
    assert asked == []


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
def test_a_malformed_message_is_told_what_is_wrong(post, asked, content: bytes, status: int, words: str) -> None:
    told(post(content), status, words)
    assert asked == []


def test_where_the_log_fails_alertmanager_is_asked_to_send_it_again(post, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise ServiceError("SLIPWAY_LOG_URL=s3://log: S3 does not answer")

    monkeypatch.setattr(alertmanager_webhook, "request_retraining", fails)
    answer = post(message(FIRING))
    told(answer, 503, "S3 does not answer")
    assert answer.headers["retry-after"] == "30"


def test_a_storm_of_messages_is_answered_one_by_one_and_beyond_a_bound_refused(
    post, asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.dumps(message(FIRING)).encode()
    assert asyncio.run(_post(content, HEADERS, times=100)).status_code == 200
    assert len(asked) == 100
    assert Decisions(settings(), "loans").latest().times >= 50, "two at once may count as one"
    monkeypatch.setattr(alertmanager_webhook, "MOST_WAITING", 0)
    told(asyncio.run(_post(content, HEADERS, times=100)), 503, "are waiting already")


def test_a_message_that_never_ends_is_given_up(post, asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager_webhook, "RECEIVE_SECONDS", 0.05)

    async def slowly() -> httpx.Response:
        async def forever() -> Any:
            while True:
                yield b" "
                await asyncio.sleep(0.02)

        app = application(settings(), lambda: dashboard.Dashboard("local", "", [], []), lambda: True)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://watch") as client:
            return await client.post("/alerts", content=forever(), headers=HEADERS)

    told(asyncio.run(slowly()), 408, "did not arrive within")
    assert asked == []


def test_a_secret_that_is_too_short_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_ALERT_SECRET", "short")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="SLIPWAY_ALERT_SECRET: .*at least 16 are needed") as raised:
        settings()
    assert "short" not in str(raised.value)
