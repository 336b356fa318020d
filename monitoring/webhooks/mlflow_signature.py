"""Signature of a delivery of MLflow: HMAC-SHA256 of `ID.TIMESTAMP.BODY`. A delivery counts once, and soon or never.

MLflow follows https://www.standardwebhooks.com with headers of its own names (mlflow/webhooks/delivery.py).
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from starlette.datastructures import Headers

from monitoring.webhooks.webhook_request import WebhookError

ID, TIMESTAMP, SIGNATURE = "X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"
# MLflow repeats a delivery with its first time: three times, each after up to 30 s without a response.
MOST_SECONDS = 300
MOST_REMEMBERED = 10_000
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")  # no dot, which separates the parts that are signed
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class SignedHeaders(NamedTuple):
    """Headers of a delivery, well formed and not verified."""

    id: str
    timestamp: str
    signature: str

    @classmethod
    def of(cls, headers: Headers) -> SignedHeaders:
        """Read the headers; raises WebhookError (400) if one is absent, given twice, or of another form."""
        found = cls(*(_single(headers, name) for name in (ID, TIMESTAMP, SIGNATURE)))
        if not _ID.fullmatch(found.id):
            raise _malformed(ID, "1 to 128 letters, digits, - or _")
        if not _TIMESTAMP.fullmatch(found.timestamp):
            raise _malformed(TIMESTAMP, "the seconds since 1970")
        return found


class SignatureCheck:
    """Verifies deliveries and remembers their ids.

    It forgets the oldest when there are too many, and refuses what is older than any that it forgot; so neither a
    restart nor a clock that is set back lets a delivery in again.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock
        self._oldest = int(clock())
        self._by_time: list[tuple[int, str]] = []
        self._ids: set[str] = set()

    def verify(self, headers: SignedHeaders, body: bytes) -> None:
        """Verify a delivery once.

        Raises:
            WebhookError: 403 if the signature is wrong or the delivery too old, 409 if it was here before.
        """
        expected = sign(self._secret, headers.id, headers.timestamp, body)
        if not hmac.compare_digest(headers.signature.encode("latin-1"), expected.encode()):
            wrong = (
                "The signature is not that of SLIPWAY_MLFLOW_WEBHOOK_SECRET: give the webhook in MLflow that secret."
            )
            raise WebhookError(HTTPStatus.FORBIDDEN, wrong)
        at = int(headers.timestamp)
        self._require_fresh(at)
        if headers.id in self._ids:
            raise WebhookError(HTTPStatus.CONFLICT, "The delivery was received before.")
        self._remember(headers.id, at)

    def _require_fresh(self, at: int) -> None:
        away = round(at - self._clock())
        if abs(away) > MOST_SECONDS:
            when = f"{abs(away)} s {'ahead' if away > 0 else 'ago'}"
            apart = f"The delivery was signed {when}; {MOST_SECONDS} s are allowed: compare the clocks."
            raise WebhookError(HTTPStatus.FORBIDDEN, apart)
        if at < self._oldest:
            earlier = "The delivery was signed before this process began, or before the oldest one that it remembers."
            raise WebhookError(HTTPStatus.FORBIDDEN, earlier)

    def _remember(self, id: str, at: int) -> None:
        self._ids.add(id)
        heapq.heappush(self._by_time, (at, id))
        if len(self._by_time) > MOST_REMEMBERED:
            forgotten, oldest = heapq.heappop(self._by_time)
            self._ids.discard(oldest)
            self._oldest = max(self._oldest, forgotten + 1)


def sign(secret: bytes, id: str, timestamp: str, body: bytes) -> str:
    """Sign a delivery, as MLflow does."""
    digest = hmac.new(secret, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _single(headers: Headers, name: str) -> str:
    values = headers.getlist(name)
    if len(values) == 1:
        return values[0]
    found = f"is there {len(values)} times" if values else "is missing"
    raise WebhookError(
        HTTPStatus.BAD_REQUEST, f"The header {name} {found}: MLflow sends it once, if its webhook has a secret."
    )


def _malformed(name: str, allowed: str) -> WebhookError:
    return WebhookError(HTTPStatus.BAD_REQUEST, f"The header {name} is malformed: send {allowed}.")
