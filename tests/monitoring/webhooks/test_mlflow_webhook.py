"""MLflow's webhook: a delivery that is signed, recent and new is a hint; anything else is refused with the reason."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from monitoring.webhooks import mlflow_signature, mlflow_webhook
from monitoring.webhooks.mlflow_signature import SignatureCheck, SignedHeaders, sign
from monitoring.webhooks.webhook_request import WebhookError
from slipway.contracts.registry_names import OVERRIDE
from slipway.errors import SettingsError
from slipway.settings import settings
from tests.support import watch_app

ROOT = Path(__file__).resolve().parents[3]
SECRET = "a secret of mlflow's webhook"
MOVED = {"entity": "model_version_alias", "action": "created", "timestamp": "2026-03-01T12:00:00+00:00"}
MOVED |= {"data": {"name": "loans", "alias": "champion", "version": "2"}}


def delivery(body: bytes, id: str | None = None, at: object = None, secret: str = SECRET) -> dict[str, str]:
    """The headers that MLflow 3.17 sends (mlflow/webhooks/delivery.py)."""
    id, at = id or str(uuid.uuid4()), str(int(time.time()) if at is None else at)
    return {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": id,
        "X-MLflow-Timestamp": at,
        "X-MLflow-Signature": sign(secret.encode(), id, at, body),
    }


class Endpoint:
    """The watch process' application, which watches `loans`; `hints` are the models that it was told to read."""

    def __init__(self) -> None:
        self.hints: list[str] = []
        self.app = self.start()

    def start(self) -> Starlette:
        return watch_app.build_empty(self._hint)

    def _hint(self, usecase: str) -> bool:
        self.hints += [usecase] * (usecase == "loans")
        return usecase == "loans"

    def send(self, message: Any, headers: Any = None, **more: str) -> httpx.Response:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        [answer] = asyncio.run(self.send_all([(body, delivery(body) if headers is None else headers)], **more))
        return answer

    async def send_all(self, deliveries: list[tuple[Any, Any]], host: str = "localhost") -> list[httpx.Response]:
        async with watch_app.connect(self.app, host) as client:
            sent = [client.post("/mlflow-webhook", content=body, headers=headers) for body, headers in deliveries]
            return await asyncio.gather(*sent)

    def get(self, path: str) -> httpx.Response:
        async def get() -> httpx.Response:
            async with watch_app.connect(self.app) as client:
                return await client.get(path)

        return asyncio.run(get())

    def counts(self) -> dict[str, int]:
        pattern = r'^slipway_mlflow_webhook_deliveries_total\{outcome="(\w+)"\} (\d+)'
        return {outcome: int(count) for outcome, count in re.findall(pattern, self.get("/metrics").text, re.M)}

    def refuses(self, answer: httpx.Response, status: int, words: str) -> None:
        watch_app.check_problem(answer, status, words)
        assert self.hints == []
        assert SECRET not in answer.text


@pytest.fixture
def endpoint(var, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("SLIPWAY_MLFLOW_WEBHOOK_SECRET", SECRET)
    settings.cache_clear()
    yield Endpoint()


def test_the_signature_is_the_one_of_mlflow() -> None:
    """Made by `mlflow.webhooks.delivery` of MLflow 3.17.2."""
    body = b'{"entity": "model_version_alias", "action": "created", "data": {"name": "loans"}}'
    signature = sign(SECRET.encode(), "6f1c1d0e-6a2b-4b35-9f0e-0d5f6f9e2a11", "1767225600", body)
    assert signature == "v1,98Ou3UIhMXScdX54aWRMjD8wHE3dqEqC939ptkBR+qI="


def tag(key: str, action: str = "set") -> dict[str, Any]:
    return {"entity": "model_version_tag", "action": action, "data": {"name": "loans", "version": "2", "key": key}}


@pytest.mark.parametrize(
    "message",
    [
        MOVED,
        {**MOVED, "workspace": "default", "later": {"fields": [1]}},
        {"entity": "model_version_alias", "action": "deleted", "data": {"name": "loans", "alias": "champion"}},
        {"entity": "model_version", "action": "created", "data": {"name": "loans", "run_id": None, "tags": {}}},
        tag(OVERRIDE),
        tag("slipway.refused", "deleted"),
    ],
)
def test_a_valid_delivery_makes_the_watch_read_that_model(endpoint: Endpoint, message: dict[str, Any]) -> None:
    answer = endpoint.send(message)
    assert (answer.status_code, answer.json()["outcome"], endpoint.hints) == (202, "accepted", ["loans"])


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({**MOVED, "data": {"name": "cars", "alias": "champion", "version": "2"}}, "model is not watched"),
        ({**MOVED, "data": {"name": "../loans"}}, "model is not watched"),
        ({**MOVED, "entity": "prompt_alias"}, "event is none"),
        ({"entity": "budget_policy", "action": "exceeded", "data": {"budget_policy_id": "b"}}, "event is none"),
        ({"entity": "a new one\n", "action": "of later releases", "data": []}, "event is none"),
        (tag("slipway.serving.local"), "tag is none"),  # the watch writes it: no look may lead to the next
        (tag("team"), "tag is none"),
    ],
)
def test_another_model_or_event_is_no_error_and_no_hint(endpoint: Endpoint, message: Any, why: str) -> None:
    answer = endpoint.send(message)
    assert (answer.status_code, answer.json()["outcome"], endpoint.hints) == (200, "ignored", [])
    assert why in answer.json()["detail"]


@pytest.mark.parametrize(
    "forge",
    [
        lambda body: delivery(body, secret=SECRET[:-1]),
        lambda body: delivery(body + b" "),
        lambda body: delivery(body) | {"X-MLflow-Delivery-Id": str(uuid.uuid4())},
        lambda body: delivery(body) | {"X-MLflow-Timestamp": str(int(time.time()) + 1)},
        lambda body: delivery(body) | {"X-MLflow-Signature": ""},
        lambda body: delivery(body) | {"X-MLflow-Signature": "v1,"},
        lambda body: delivery(body) | {"X-MLflow-Signature": delivery(body)["X-MLflow-Signature"].removeprefix("v1,")},
        lambda body: delivery(body) | {"X-MLflow-Signature": "v1," + "\xff" * 44},
        lambda body: delivery(body) | {"X-MLflow-Signature": delivery(body)["X-MLflow-Signature"].replace("v1", "v1a")},
        lambda body: delivery(body) | {"X-MLflow-Signature": " ".join([delivery(body)["X-MLflow-Signature"]] * 2)},
        lambda body: delivery(body) | {"X-MLflow-Signature": SECRET, "Authorization": f"Bearer {SECRET}"},
    ],
)
def test_a_forged_delivery_is_refused(endpoint: Endpoint, forge: Callable[[bytes], dict[str, str]]) -> None:
    body = json.dumps(MOVED).encode()
    headers = [(name.encode(), value.encode("latin-1")) for name, value in forge(body).items()]
    endpoint.refuses(endpoint.send(body, headers), 403, "SLIPWAY_MLFLOW_WEBHOOK_SECRET")


@pytest.mark.parametrize("name", ["X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"])
def test_each_header_is_needed_once(endpoint: Endpoint, name: str) -> None:
    body = json.dumps(MOVED).encode()
    headers = delivery(body)
    without = {key: value for key, value in headers.items() if key != name}
    endpoint.refuses(endpoint.send(body, without), 400, f"{name} is missing")
    endpoint.refuses(endpoint.send(body, [*headers.items(), (name, "2")]), 400, f"{name} is there 2 times")


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"id": "a.1767225600"}, "X-MLflow-Delivery-Id"),  # the dot would move what is signed as the time
        ({"id": "a" * 129}, "X-MLflow-Delivery-Id"),
        ({"id": "a b"}, "X-MLflow-Delivery-Id"),
        *(({"at": at}, "X-MLflow-Timestamp") for at in ("", "-1", "1e9", "1.5", "inf", "²", "9" * 5000, "0x10")),
    ],
)
def test_an_id_or_a_time_of_another_form_is_refused(endpoint: Endpoint, more: dict[str, str], name: str) -> None:
    body = json.dumps(MOVED).encode()
    headers = [(key.encode(), value.encode("latin-1")) for key, value in delivery(body, **more).items()]
    endpoint.refuses(endpoint.send(body, headers), 400, f"{name} is malformed")


@pytest.mark.parametrize(
    ("away", "words"),
    [(-302, " s ago;"), (302, " s ahead;"), (-86400 * 365, " s ago;"), (10**11, " s ahead;")],
)
def test_an_old_or_a_future_delivery_is_refused(endpoint: Endpoint, away: int, words: str) -> None:
    body = json.dumps(MOVED).encode()
    endpoint.refuses(endpoint.send(body, delivery(body, at=int(time.time()) + away)), 403, words)


def test_a_replayed_delivery_is_refused_whatever_its_body_says(endpoint: Endpoint) -> None:
    body = json.dumps(MOVED).encode()
    headers = delivery(body)
    assert endpoint.send(body, headers).status_code == 202
    endpoint.hints.clear()
    endpoint.refuses(endpoint.send(body, headers), 409, "received before")
    both = asyncio.run(endpoint.send_all([(body, delivery(body, id="same"))] * 20))
    assert sorted(answer.status_code for answer in both) == [202] + [409] * 19
    assert endpoint.counts() == {"accepted": 2, "ignored": 0, "refused": 20}


def test_what_another_process_accepted_is_not_accepted_again(endpoint: Endpoint) -> None:
    body = json.dumps(MOVED).encode()
    headers = delivery(body, at=int(time.time()) - 2)
    endpoint.app = endpoint.start()
    endpoint.refuses(endpoint.send(body, headers), 403, "before this process began")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "not JSON"),
        (b'{"entity": "', 400, "not JSON"),
        (b'{"entity": "\xff", "action": "a", "data": {}}', 400, "not JSON"),
        (b"[" * 100_000, 400, "nested more than 32 deep"),
        (b"[]", 422, "no message of MLflow's registry"),
        (b'{"entity": "model_version_alias", "action": "created"}', 422, "data"),
        (b'{"entity": 7, "action": "created", "data": {}}', 422, "$.entity"),
        (b'{"entity": "model_version_alias", "action": "created", "data": 7}', 422, "no message of"),
        (b'{"entity": "model_version_alias", "action": "created", "data": {"name": ["loans"]}}', 422, "$.name"),
        (b'{"entity": "model_version_alias", "action": "created", "data": {"name": ""}}', 422, "$.name"),
        (b'{"entity": "model_version_alias", "action": "created", "data": {"alias": "a"}}', 422, "name"),
        (b" " * ((256 << 10) + 1), 413, "at most 262,144 bytes"),
    ],
)
def test_a_signed_message_of_another_form_is_refused(endpoint: Endpoint, body: bytes, status: int, words: str) -> None:
    endpoint.refuses(endpoint.send(body), status, words)
    assert endpoint.counts() == {"accepted": 0, "ignored": 0, "refused": 1}


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_another_media_type_is_refused(endpoint: Endpoint, media_type: str) -> None:
    body = json.dumps(MOVED).encode()
    endpoint.refuses(endpoint.send(body, delivery(body) | {"Content-Type": media_type}), 415, "send application/json")


def test_a_charset_is_part_of_no_media_type(endpoint: Endpoint) -> None:
    body = json.dumps(MOVED).encode()
    typed = delivery(body) | {"Content-Type": "Application/JSON; charset=utf-8"}
    assert endpoint.send(body, typed).status_code == 202


@pytest.mark.parametrize(("headers", "host"), [({"Origin": "https://evil.example"}, "localhost"), ({}, "evil.example")])
def test_a_page_or_a_name_of_another_site_is_refused(endpoint: Endpoint, headers: dict[str, str], host: str) -> None:
    body = json.dumps(MOVED).encode()
    assert endpoint.send(body, delivery(body) | headers, host=host).status_code == 403
    assert endpoint.hints == []


def test_without_a_secret_no_delivery_is_taken(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_MLFLOW_WEBHOOK_SECRET")
    settings.cache_clear()
    endpoint.app = endpoint.start()
    for secret in (SECRET, ""):
        body = json.dumps(MOVED).encode()
        answer = endpoint.send(body, delivery(body, secret=secret))
        endpoint.refuses(answer, 404, "set SLIPWAY_MLFLOW_WEBHOOK_SECRET")


def test_only_a_post_is_a_delivery(endpoint: Endpoint) -> None:
    assert endpoint.get("/mlflow-webhook").status_code == 405


@pytest.mark.parametrize("secret", ["short", "", "x" * 15])
def test_a_secret_that_is_too_short_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("SLIPWAY_MLFLOW_WEBHOOK_SECRET", secret)
    settings.cache_clear()
    with pytest.raises(SettingsError, match="SLIPWAY_MLFLOW_WEBHOOK_SECRET: .*at least 16 are needed") as raised:
        settings()
    assert not secret or secret not in str(raised.value)


def test_senders_that_stop_hold_few_bodies_for_a_short_time(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sender is known before its body was read, so what strangers can make the process hold is bounded."""
    monkeypatch.setattr(mlflow_webhook, "RECEIVE_SECONDS", 0.05)

    async def stalled() -> Any:
        yield b" "
        await asyncio.sleep(0.2)
        yield b" "

    many = [(stalled(), delivery(b"")) for _ in range(20)]
    statuses = [answer.status_code for answer in asyncio.run(endpoint.send_all(many))]
    assert sorted(statuses) == [408] * 16 + [503] * 4
    assert endpoint.send(MOVED).status_code == 202, "places are free again"


def test_the_docs_subscribe_to_the_events_that_are_watched() -> None:
    page = (ROOT / "docs" / "how-to" / "receive-mlflow-webhooks.md").read_text()
    subscribed = re.findall(r'^ +"(\w+)\.(\w+)",$', page, re.M)
    assert set(subscribed) == mlflow_webhook.EVENTS


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def accepted(check: SignatureCheck, id: str, at: float) -> bool:
    headers = SignedHeaders(id, str(int(at)), sign(b"secret", id, str(int(at)), b"{}"))
    try:
        check.verify(headers, b"{}")
    except WebhookError:
        return False
    return True


def test_ids_take_bounded_memory_and_what_is_forgotten_is_not_accepted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_signature, "MOST_REMEMBERED", 10)
    clock = Clock()
    check = SignatureCheck(b"secret", clock)
    first = clock.now
    for second in range(40):
        clock.now = first + second
        assert accepted(check, f"id-{second}", clock.now)
    assert len(check._ids) == len(check._by_time) == 10
    assert not any(accepted(check, f"id-{second}", first + second) for second in range(40))
    assert accepted(check, "late", first + 35)


def test_a_clock_that_is_set_back_lets_no_delivery_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_signature, "MOST_REMEMBERED", 10)
    clock = Clock()
    check = SignatureCheck(b"secret", clock)
    first = clock.now
    assert accepted(check, "the first", first)
    clock.now = first + 4000
    assert all(accepted(check, f"id-{number}", clock.now) for number in range(10))
    clock.now = first
    assert not accepted(check, "the first", first)
    assert not accepted(check, "id-3", first + 4000)
