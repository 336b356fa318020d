"""`POST /alerts` of the watch process: Alertmanager's webhook as one more voice that asks for a training.

An alert asks where it is firing and carries two labels: `usecase`, and `retraining` with the reason. The rules of
`monitoring.retraining.policy` decide, as for everybody, so an alert that is sent a hundred times is no more than asked
a hundred times. https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from http import HTTPStatus
from typing import Any, Literal

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from monitoring.retraining.decisions import to_dict
from monitoring.retraining.policy import REASONS, request_retraining
from slipway import config as usecases
from slipway.contracts.bundle import json_limits
from slipway.errors import ServiceError, SlipwayError, UseCaseError, suggestion
from slipway.settings import Settings

MOST_BYTES = 1 << 20
RECEIVE_SECONDS = 15.0
MOST_WAITING = 100
SOURCE = "alertmanager"
USECASE, REASON = "usecase", "retraining"
_AT_ONCE = 2
_MOST_TEXT = 200
_log = logging.getLogger("slipway.watch")


class Alert(msgspec.Struct, rename="camel"):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: str = ""

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")[:_MOST_TEXT]


class Message(msgspec.Struct):
    """What Alertmanager sends, as far as it is read."""

    version: Literal["4"]
    alerts: list[Alert]


class WebhookError(Exception):
    """A request that is refused as a whole."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}


class Receiver:
    """`answer` is the endpoint. Asks have a few threads of their own: a storm of alerts holds up nothing else."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._limiter = CapacityLimiter(_AT_ONCE)

    async def answer(self, request: Request) -> Response:
        try:
            self._require_secret(request)
            message = _decoded(await _body(request))
            if self._limiter.statistics().tasks_waiting >= MOST_WAITING:
                busy = f"{MOST_WAITING} messages wait already: send it again in a moment."
                raise WebhookError(HTTPStatus.SERVICE_UNAVAILABLE, busy, {"Retry-After": "10"})
            return JSONResponse(await to_thread.run_sync(self._heard, message.alerts, limiter=self._limiter))
        except WebhookError as problem:
            return _told(problem)

    def _require_secret(self, request: Request) -> None:
        if self._config.alert_secret is None:
            unset = "Alerts are not taken here: set SLIPWAY_ALERT_SECRET, and give Alertmanager the same."
            raise WebhookError(HTTPStatus.NOT_FOUND, unset)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        secret = self._config.alert_secret.get_secret_value().encode()
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode("latin-1"), secret):
            wrong = "The bearer token is missing or is not the one of SLIPWAY_ALERT_SECRET."
            raise WebhookError(HTTPStatus.UNAUTHORIZED, wrong, {"WWW-Authenticate": "Bearer"})

    def _heard(self, alerts: list[Alert]) -> dict[str, Any]:
        """The decisions, and why the other alerts asked for none; each use case and reason is asked for once."""
        asking: dict[tuple[str, str], Alert] = {}
        ignored: list[dict[str, str]] = []
        for alert in alerts:
            if why := _useless(alert):
                ignored.append({"alert": alert.name, "why": why})
            else:
                asking.setdefault((alert.labels[USECASE], alert.labels[REASON]), alert)
        if not asking and not any(alert.status == "resolved" for alert in alerts):
            detail = ignored[0]["why"] if ignored else "There is no alert in it."
            raise WebhookError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        return {"decisions": [self._ask(*what, alert) for what, alert in asking.items()], "ignored": ignored}

    def _ask(self, usecase: str, reason: str, alert: Alert) -> dict[str, Any]:
        evidence = {"alert": alert.name, "since": alert.starts_at[:_MOST_TEXT]}
        try:
            return to_dict(request_retraining(usecase, reason, SOURCE, evidence, self._config))
        except (ServiceError, OSError) as error:
            _log.warning("%s: asked for by %s, nothing decided: %s", usecase, alert.name, error)
            gone = f"Nothing was decided, since the log's place fails ({error}): send it again."
            raise WebhookError(HTTPStatus.SERVICE_UNAVAILABLE, gone, {"Retry-After": "30"}) from None
        except UseCaseError as error:
            raise WebhookError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        except SlipwayError as error:
            _log.warning("%s: asked for by %s: %s", usecase, alert.name, error)
            raise WebhookError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from None


def _useless(alert: Alert) -> str | None:
    """Why it asks for nothing."""
    if alert.status == "resolved":
        return "It is resolved."
    known, asked = usecases.names(), alert.labels.get(USECASE, "")[:_MOST_TEXT]
    if not asked:
        return f"It has no label `{USECASE}`."
    if asked not in known:
        return f"There is no use case {asked!r}.{suggestion(asked, known)}"
    reason = alert.labels.get(REASON, "")[:_MOST_TEXT]
    if reason not in REASONS:
        came = f"is {reason!r}" if reason else "is missing"
        return f"Its label `{REASON}` {came}; it says why to train again: {', '.join(REASONS)}."
    return None


async def _body(request: Request) -> bytes:
    content = bytearray()
    try:
        async with asyncio.timeout(RECEIVE_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MOST_BYTES:
                    large = f"A message has at most {MOST_BYTES:,} bytes: let Alertmanager group fewer (`max_alerts`)."
                    raise WebhookError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, large, {"Connection": "close"})
    except TimeoutError:
        late = f"The message did not come within {RECEIVE_SECONDS:g} s."
        raise WebhookError(HTTPStatus.REQUEST_TIMEOUT, late, {"Connection": "close"}) from None
    except ClientDisconnect:
        raise WebhookError(HTTPStatus.BAD_REQUEST, "The message broke off.") from None
    return bytes(content)


def _decoded(content: bytes) -> Message:
    if wrong := json_limits.problem(content):
        raise WebhookError(HTTPStatus.BAD_REQUEST, f"The message is refused: {wrong}.")
    try:
        return msgspec.json.decode(content, type=Message)
    except msgspec.ValidationError as error:
        raise WebhookError(HTTPStatus.UNPROCESSABLE_ENTITY, f"This is no webhook of Alertmanager: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise WebhookError(HTTPStatus.BAD_REQUEST, "The message is not JSON.") from None


def _told(problem: WebhookError) -> Response:
    body = {"title": problem.status.phrase, "status": problem.status, "detail": str(problem)}
    return JSONResponse(body, problem.status, problem.headers, media_type="application/problem+json")
