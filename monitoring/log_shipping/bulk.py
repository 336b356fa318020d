"""One bulk request: what became of each document of it.

`elasticsearch.helpers.streaming_bulk` is not used here: it pairs documents with the items of a response until the
shorter of the two ends, so what a response leaves out would count as delivered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from monitoring.log_shipping.event_lines import Document
from monitoring.log_shipping.sinks import SinkUnavailable
from slipway.clients.elasticsearch import failures
from slipway.texts import one_line

if TYPE_CHECKING:
    from elasticsearch import ApiError, Elasticsearch

SHARD_SECONDS = "20s"  # the server gives up on a shard before the client gives up on the server
_CREATED, _BAD_REQUEST, _CONFLICT, _TOO_LARGE, _BUSY = 201, 400, 409, 413, 429
_OF_THE_CLUSTER = {"validation_exception"}  # such as "this action would add 2 shards": no document can help it
_OF_A_DOCUMENT = {"action_request_validation_exception", "illegal_argument_exception"}  # such as an id of 600 bytes
_MOST_WAIT = 60.0
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Refusal:
    """A document that Elasticsearch does not take as it is, and why."""

    document: Document
    status: int
    type: str
    reason: str


class _Error(msgspec.Struct):
    type: str = ""
    reason: str | None = None


class _Result(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    status: int
    error: _Error = msgspec.field(default_factory=_Error)


class _Item(msgspec.Struct):
    create: _Result


class _Response(msgspec.Struct):
    """What is read of a bulk's response; one that lacks a part counts for nothing."""

    items: list[_Item]


# msgspec prepares a type at its first use, and the process crashes if several threads do so at once
msgspec.json.Decoder(_Response)


@dataclass
class Outcome:
    """What became of documents: those that are not named here are in the stream.

    `rejected` ones were certainly not written, and may be sent again, after `wait` seconds if the server names them.
    """

    refused: list[Refusal] = field(default_factory=list)
    rejected: list[Document] = field(default_factory=list)
    reason: str = ""
    wait: float = 0.0

    def add(self, other: Outcome) -> None:
        self.refused += other.refused
        self.rejected += other.rejected
        self.reason = other.reason or self.reason
        self.wait = max(self.wait, other.wait)


def create(client: Elasticsearch, stream: str, documents: Sequence[Document]) -> Outcome:
    """Create documents with their ids; one that the current index has already counts as created.

    Raises:
        SinkUnavailable: it is not known what became of them, or nothing of the kind can be written now.
    """
    from elasticsearch import ApiError, TransportError

    try:
        response = client.bulk(
            index=stream,
            operations=[part for each in documents for part in (_action(each.id), each.line)],
            require_data_stream=True,
            timeout=SHARD_SECONDS,
            filter_path=["items.create._id", "items.create.status", "items.create.error"],
        )
    except ApiError as error:
        return _of_request(client, stream, documents, error)
    except TransportError as error:
        raise SinkUnavailable(failures.explain(error)) from None
    return _of_items(documents, response.body)


def _action(id: str) -> bytes:
    return b'{"create":{"_id":%b}}' % _encode(id)


def _of_request(client: Elasticsearch, stream: str, documents: Sequence[Document], error: ApiError) -> Outcome:
    """The outcome where the request failed as a whole; halves find the document that is the reason."""
    if error.status_code == _BUSY:
        return Outcome(rejected=list(documents), reason=failures.explain(error), wait=_asked_wait(error))
    if error.status_code == _TOO_LARGE or (error.status_code == _BAD_REQUEST and _type(error.body) in _OF_A_DOCUMENT):
        if len(documents) == 1:
            return Outcome([Refusal(documents[0], error.status_code, _type(error.body), failures.reason(error.body))])
        middle = len(documents) // 2
        outcome = create(client, stream, documents[:middle])
        outcome.add(create(client, stream, documents[middle:]))
        return outcome
    raise SinkUnavailable(failures.explain(error))


def _of_items(documents: Sequence[Document], body: object) -> Outcome:
    """The outcome by the items of a response, one for each document in their order."""
    try:
        items = msgspec.convert(body, _Response).items
    except msgspec.ValidationError as error:
        raise SinkUnavailable(
            f"its response is not that of a bulk ({error}): a proxy answers. Set ELASTICSEARCH_URL to the server "
            "itself."
        ) from None
    if [item.create.id for item in items] != [document.id for document in documents]:
        raise SinkUnavailable(
            f"it answered for {len(items)} of {len(documents)} documents, or for others than were sent"
        )
    outcome = Outcome()
    for document, item in zip(documents, items, strict=True):
        _add_item(outcome, document, item.create)
    return outcome


def _add_item(outcome: Outcome, document: Document, item: _Result) -> None:
    kind, reason = item.error.type, one_line(item.error.reason or "")
    if item.status in (_CREATED, _CONFLICT):
        return
    if item.status == _BUSY:
        outcome.rejected.append(document)
        outcome.reason = f"429: {reason}"
    elif item.status == _BAD_REQUEST and kind not in _OF_THE_CLUSTER:
        outcome.refused.append(Refusal(document, item.status, kind, reason))
    else:
        raise SinkUnavailable(f"{item.status}: {reason or kind or 'no reason'}. See `slipway elk status`.")


def _type(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("type", "")) if isinstance(error, dict) else ""


def _asked_wait(error: ApiError) -> float:
    """The seconds of the header Retry-After, if it has some."""
    text = error.meta.headers.get("retry-after", "")
    return min(_MOST_WAIT, float(text)) if text.isdecimal() else 0.0
