"""Webhook of MLflow's registry, `POST /mlflow-webhook`: a hint to read a model's state at once, and no more.

What a delivery says of an alias or a tag is not used: the watch process reads the registry itself, as at each pass.
https://mlflow.org/docs/latest/ml/webhooks/
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from monitoring.webhooks.mlflow_signature import SignatureCheck, SignedHeaders
from monitoring.webhooks.webhook_request import WebhookError, decode, problem_response, read_body
from slipway.contracts.registry_names import BUNDLE_SHA256, OVERRIDE, REFUSED
from slipway.settings import Settings

PATH = "/mlflow-webhook"
MOST_BYTES = 256 << 10
RECEIVE_SECONDS = 5.0
MOST_AT_ONCE = 16  # a body is held before its sender is known
SENDER = "MLflow's registry"
EVENTS = {
    ("model_version", "created"),
    ("model_version_alias", "created"),
    ("model_version_alias", "deleted"),
    ("model_version_tag", "set"),
    ("model_version_tag", "deleted"),
}
# Tags that people change. Others are written by the watch process itself, which must not wake it up.
TAGS = {BUNDLE_SHA256, OVERRIDE, REFUSED}
_log = logging.getLogger("slipway.watch")


class Message(msgspec.Struct):
    """A message of MLflow, with the fields that are read."""

    entity: str
    action: str
    data: msgspec.Raw


class Subject(msgspec.Struct):
    """Model of a message, and its tag where it is about one."""

    name: Annotated[str, Meta(min_length=1, max_length=1000)]
    key: str = ""


class Deliveries(Collector):
    """Counter of deliveries by what became of them."""

    def __init__(self) -> None:
        self.accepted = self.ignored = self.refused = 0

    def collect(self) -> Iterator[Metric]:
        found = CounterMetricFamily(
            "slipway_mlflow_webhook_deliveries",
            "Deliveries of MLflow's webhook: `accepted` as a hint, `ignored` (none for Slipway), or `refused`.",
            labels=["outcome"],
        )
        for outcome, count in vars(self).items():
            found.add_metric([outcome], count)
        yield found


class MlflowReceiver:
    """Endpoint of the webhook. `hint` is told the model; it returns False for one that is not watched."""

    def __init__(self, config: Settings, hint: Callable[[str], bool]) -> None:
        secret = config.mlflow_webhook_secret
        self._check = SignatureCheck(secret.get_secret_value().encode()) if secret else None
        self._hint = hint
        self._receiving = 0
        self.deliveries = Deliveries()

    async def answer(self, request: Request) -> Response:
        """Respond with what was done, or with a problem document."""
        try:
            ignored = self._ignored_because(await self._verified(request))
        except WebhookError as problem:
            self.deliveries.refused += 1
            return problem_response(problem)
        if ignored:
            self.deliveries.ignored += 1
            return JSONResponse({"outcome": "ignored", "detail": ignored})
        self.deliveries.accepted += 1
        return JSONResponse({"outcome": "accepted", "detail": "The registry is read now."}, HTTPStatus.ACCEPTED)

    async def _verified(self, request: Request) -> Message:
        if self._check is None:
            unset = "Deliveries are not accepted here: set SLIPWAY_MLFLOW_WEBHOOK_SECRET to the webhook's secret."
            raise WebhookError(HTTPStatus.NOT_FOUND, unset)
        headers = SignedHeaders.of(request.headers)
        _require_json(request.headers.get("content-type", ""))
        body = await self._body(request)
        self._check.verify(headers, body)
        return decode(body, Message, SENDER)

    async def _body(self, request: Request) -> bytes:
        if self._receiving >= MOST_AT_ONCE:
            busy = f"{MOST_AT_ONCE} deliveries are being received already: send it again in a moment."
            raise WebhookError(HTTPStatus.SERVICE_UNAVAILABLE, busy, {"Retry-After": "5"})
        self._receiving += 1
        try:
            return await read_body(request, MOST_BYTES, RECEIVE_SECONDS, "subscribe to the documented events only")
        finally:
            self._receiving -= 1

    def _ignored_because(self, message: Message) -> str | None:
        """Pass the hint on; else return why the message is none."""
        if (message.entity, message.action) not in EVENTS:
            return "The event is none that is watched."
        subject = decode(bytes(message.data), Subject, SENDER)
        if message.entity == "model_version_tag" and subject.key not in TAGS:
            return "The tag is none that people change."
        if not self._hint(subject.name):
            return "The model is not watched here."
        _log.info("%s: MLflow reports %s.%s", subject.name, message.entity, message.action)
        return None


def _require_json(media_type: str) -> None:
    if media_type.partition(";")[0].strip().lower() != "application/json":
        other = f"Content-Type {media_type[:100]!r} received; send application/json."
        raise WebhookError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, other)
