"""Upload of labels: sends checked entries to the service, or appends them to this machine's prediction log.

All entries are checked before the first is sent. A label that is sent twice counts once (the last `known_at` wins), so
after a failure the whole file may be sent again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from slipway import timestamps
from slipway.clients.service import ServiceClient
from slipway.contracts.events import feedback_event
from slipway.contracts.schema import Schema
from slipway.errors import BundleError, ServiceError
from slipway.serving_state import desired
from slipway.settings import Settings, settings

BATCH = 1000

Entry = dict[str, Any]  # {"id" | "key", "label" | "value", "known_at"?}, as the feedback route takes it
Track = Callable[[Iterable[int], str, int], Iterable[int]]


@dataclass(frozen=True)
class UploadResult:
    """Result of an upload; `to` is a server's address, or a folder of the prediction log."""

    usecase: str
    labels: int
    to: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def served_schema(usecase: str, url: str) -> Schema:
    """Get the schema of the model that the service at `url` serves. Raises ServiceError."""
    client = ServiceClient(url)
    try:
        answer = client.get(f"/v1/models/{usecase}/schema")
    finally:
        client.close()
    if not answer.ok:
        raise ServiceError(f"{client.url} does not serve {usecase}: it answered {answer.problem}")
    return answer.read(Schema)


def stored_schema(usecase: str, config: Settings | None = None) -> Schema:
    """Read the schema of the model that this machine serves, without a server. Raises BundleError if it serves none."""
    config = config or settings()
    found = desired.read(config.serving, usecase)
    if found is None or found.champion is None:
        raise BundleError(
            f"this machine serves no {usecase}, so its classes are not known here: start `slipway serve {usecase}` "
            "once, or send the labels to a service with --url."
        )
    return Schema.load(config.store / found.champion / "serve" / "schema.json")


def send(usecase: str, entries: list[Entry], url: str, track: Track | None = None) -> UploadResult:
    """Send checked entries to the service at `url`, a thousand at a time.

    Raises: ServiceError: the service does not respond, or rejects a batch; the message has the number that was
    accepted before.
    """
    client = ServiceClient(url)
    done = 0
    try:
        for start in _tracked(track, range(0, len(entries), BATCH), f"labels of {usecase}"):
            post(client, usecase, entries[start : start + BATCH])
            done = min(start + BATCH, len(entries))
    except ServiceError as error:
        raise ServiceError(
            f"{done} of {len(entries)} labels were accepted, the rest was not sent: {error} "
            "Send the whole file again when the cause is fixed: a label sent twice counts once."
        ) from None
    finally:
        client.close()
    return UploadResult(usecase, len(entries), client.url)


def post(client: ServiceClient, usecase: str, entries: list[Entry]) -> None:
    """Send one batch. Raises ServiceError unless all of it was accepted."""
    answer = client.post(f"/v1/models/{usecase}/feedback", {"feedback": entries})
    if not answer.ok:
        raise ServiceError(f"{client.url} answered {answer.problem}")


def append(usecase: str, entries: list[Entry], config: Settings | None = None) -> UploadResult:
    """Append checked entries to this machine's prediction log, without a server.

    Raises:
        ServiceError: a line could not be written; the message has the number of those that were.
    """
    from slipway.prediction_log import Writer

    config = config or settings()
    writer = Writer(config.spool, usecase, "feedback", config.segment_bytes, config.segment_seconds)
    try:
        for done, entry in enumerate(entries):
            if not writer.write(_line(usecase, config.environment, entry)):
                raise ServiceError(
                    f"{done} of {len(entries)} labels are in the log at {config.spool}; the next could not be written. "
                    "Is the disk full? Then run the same command again: a label given twice counts once."
                )
    finally:
        writer.close()
    return UploadResult(usecase, len(entries), str(config.spool / usecase))


def _line(usecase: str, environment: str, entry: Entry) -> bytes:
    now = timestamps.now_iso()
    _, line = feedback_event.feedback_line(
        environment=environment,
        usecase=usecase,
        trace_id=secrets.token_hex(16),
        timestamp=now,
        known_at=entry.get("known_at", now),
        row=entry.get("id"),
        key=entry.get("key"),
        label=entry.get("label"),
        value=entry.get("value"),
    )
    return line


def _tracked(track: Track | None, starts: range, label: str) -> Iterator[int]:
    yield from track(starts, label, len(starts)) if track else starts
