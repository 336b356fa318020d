"""`POST /alerts` of the watch process: alerts of Alertmanager's webhook request trainings.

An alert requests a training if it is firing and has two labels: `usecase`, and `retraining` with the reason. The rules
of `monitoring.retraining.policy` decide as for every request, so an alert may be sent a hundred times.
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import hmac
import logging
from http import HTTPStatus
from typing import Any, Literal

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from monitoring.retraining.decisions import to_dict
from monitoring.retraining.policy import REASONS, request_retraining
from monitoring.webhooks.webhook_request import WebhookError, decode, problem_response, read_body
from slipway import config as usecases
from slipway.errors import ServiceError, SlipwayError, UseCaseError, suggestion
from slipway.settings import Settings
from slipway.texts import one_line

MOST_BYTES = 1 << 20
RECEIVE_SECONDS = 15.0
MOST_WAITING = 100
SOURCE = "alertmanager"
USECASE, REASON, NAMESPACE = "usecase", "retraining", "namespace"
_AT_ONCE = 2
_MOST_TEXT = 200
_log = logging.getLogger("slipway.watch")


class Alert(msgspec.Struct, rename="camel"):
    """An alert, with the fields that are read."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: str = ""

    @property
    def name(self) -> str:
        return one_line(self.labels.get("alertname", ""), _MOST_TEXT)


class Message(msgspec.Struct):
    """A message of Alertmanager, with the fields that are read."""

    version: Literal["4"]
    alerts: list[Alert]


class Receiver:
    """Endpoint of the webhook. Requests have a few threads of their own, so that many alerts delay nothing else."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._limiter = CapacityLimiter(_AT_ONCE)

    async def answer(self, request: Request) -> Response:
        """Respond with the decisions, or with a problem document."""
        try:
            self._require_secret(request)
            message = decode(await _body(request), Message, "Alertmanager")
            if self._limiter.statistics().tasks_waiting >= MOST_WAITING:
                busy = f"{MOST_WAITING} messages are waiting already: send it again in a moment."
                raise WebhookError(HTTPStatus.SERVICE_UNAVAILABLE, busy, {"Retry-After": "10"})
            return JSONResponse(await to_thread.run_sync(self._decide, message.alerts, limiter=self._limiter))
        except WebhookError as problem:
            return problem_response(problem)

    def _require_secret(self, request: Request) -> None:
        if self._config.alert_secret is None:
            unset = "Alerts are not accepted here: set SLIPWAY_ALERT_SECRET, and give Alertmanager the same secret."
            raise WebhookError(HTTPStatus.NOT_FOUND, unset)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        secret = self._config.alert_secret.get_secret_value().encode()
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode("latin-1"), secret):
            wrong = "The bearer token is missing or is not the one of SLIPWAY_ALERT_SECRET."
            raise WebhookError(HTTPStatus.UNAUTHORIZED, wrong, {"WWW-Authenticate": "Bearer"})

    def _decide(self, alerts: list[Alert]) -> dict[str, Any]:
        """Request a training once per use case and reason; return the decisions, and why other alerts were ignored.

        One that cannot be decided keeps no other from it. Alertmanager repeats the message if another attempt may help.
        """
        requests, ignored = self._sorted(alerts)
        decisions: list[dict[str, Any]] = []
        failures: list[WebhookError] = []
        for key, alert in requests.items():
            try:
                decisions.append(self._request(*key, alert))
            except WebhookError as failure:
                failures.append(failure)
                ignored.append(_ignored(alert, str(failure)))
        worst = max(failures, key=lambda failure: failure.status, default=None)
        if worst and worst.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise worst
        if not decisions and not any(self._not_for_us(alert) for alert in alerts):
            detail = ignored[0]["why"] if ignored else "The message contains no alert."
            raise WebhookError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        return {"decisions": decisions, "ignored": ignored}

    def _sorted(self, alerts: list[Alert]) -> tuple[dict[tuple[str, str], Alert], list[dict[str, str]]]:
        """Return the first alert of each use case and reason, and those that request nothing."""
        known = usecases.names()
        requests: dict[tuple[str, str], Alert] = {}
        ignored: list[dict[str, str]] = []
        for alert in alerts:
            if why := self._not_for_us(alert) or _ignored_because(alert, known):
                ignored.append(_ignored(alert, why))
            else:
                requests.setdefault((alert.labels[USECASE], alert.labels[REASON]), alert)
        return requests, ignored

    def _not_for_us(self, alert: Alert) -> str | None:
        """Why an alert that is as it must be requests no training here; None where it may."""
        if alert.status == "resolved":
            return "The alert is resolved."
        own, namespace = self._config.prometheus_namespace, alert.labels.get(NAMESPACE, "")[:_MOST_TEXT]
        if own and namespace and namespace != own:
            return f"The alert is of the namespace {namespace!r}, and SLIPWAY_PROMETHEUS_NAMESPACE is {own!r}."
        return None

    def _request(self, usecase: str, reason: str, alert: Alert) -> dict[str, Any]:
        evidence = {"alert": alert.name, "since": alert.starts_at[:_MOST_TEXT]}
        try:
            return to_dict(request_retraining(usecase, reason, SOURCE, evidence, self._config))
        except (ServiceError, OSError) as error:
            _log.warning("%s: requested by %s, nothing decided: %s", usecase, alert.name, error)
            gone = f"Nothing was decided, since the log fails ({error}): send it again."
            raise WebhookError(HTTPStatus.SERVICE_UNAVAILABLE, gone, {"Retry-After": "30"}) from None
        except UseCaseError as error:
            raise WebhookError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        except SlipwayError as error:
            _log.warning("%s: requested by %s: %s", usecase, alert.name, error)
            raise WebhookError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from None


def _ignored(alert: Alert, why: str) -> dict[str, str]:
    return {"alert": alert.name, "why": why}


def _ignored_because(alert: Alert, known: list[str]) -> str | None:
    """Why the alert requests no training; None where it does."""
    usecase = alert.labels.get(USECASE, "")[:_MOST_TEXT]
    if not usecase:
        return f"The alert has no label `{USECASE}`."
    if usecase not in known:
        return f"There is no use case {usecase!r}.{suggestion(usecase, known)}"
    reason = alert.labels.get(REASON, "")[:_MOST_TEXT]
    if reason not in REASONS:
        problem = f"is {reason!r}" if reason else "is missing"
        return f"The label `{REASON}` {problem}; it must be the reason for the training: {', '.join(REASONS)}."
    return None


async def _body(request: Request) -> bytes:
    return await read_body(request, MOST_BYTES, RECEIVE_SECONDS, "let Alertmanager group fewer (`max_alerts`)")
