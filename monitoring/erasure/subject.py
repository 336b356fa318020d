"""The subject of an erasure, and its traces: what its events are found by, and what they refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from slipway.contracts.schema import row_key
from slipway.prediction_log.layout import STREAMS

Field = Literal["key", "row_key"]
PREDICTION, FEEDBACK = STREAMS


class Subject(msgspec.Struct, frozen=True):
    """The predictions of a use case whose `key`, or whose `row_key`, has a value."""

    usecase: str
    field: Field
    value: str

    def digest(self, secret: bytes) -> str:
        """Compute the pseudonym that the audit names the subject by: who has no secret cannot try keys on it."""
        return row_key(secret, f"forget {self.usecase} {self.field}={self.value}")


class Event(msgspec.Struct, frozen=True):
    """What an erasure reads of an event; `day` is its date, `images` are the digests of its images."""

    id: str
    day: str = ""
    row_id: str | None = None
    key: str | None = None
    row_key: str | None = None
    images: frozenset[str] = frozenset()


class Traces(msgspec.Struct):
    """What is known of a subject: ids of its rows and of its labels, its keys, the days of its predictions."""

    rows: set[str] = msgspec.field(default_factory=set)
    keys: set[str] = msgspec.field(default_factory=set)
    row_keys: set[str] = msgspec.field(default_factory=set)
    images: set[str] = msgspec.field(default_factory=set)
    labels: set[str] = msgspec.field(default_factory=set)
    days: set[str] = msgspec.field(default_factory=set)

    def __len__(self) -> int:
        return sum(len(getattr(self, name)) for name in self.__struct_fields__)

    def add(self, stream: str, events: Iterable[Event]) -> None:
        """Add what events of a stream show of the subject."""
        for event in events:
            if stream == FEEDBACK:
                self.labels.add(event.id)
                continue
            self.days.add(event.day)
            self.images |= event.images
            for known, value in ((self.rows, event.row_id), (self.keys, event.key), (self.row_keys, event.row_key)):
                known |= {value} if value is not None else set()


def named_by(stream: str, subject: Subject, traces: Traces) -> dict[str, set[str]]:
    """Say which values of which fields make an event one of the subject's.

    Predictions are found by the subject's field, and by the ids of its rows, which a shadow or a canary with another
    schema shares while its `row_key` differs. Labels name a row by its id, or by a key: one of the subject's.
    """
    found: dict[str, set[str]] = {subject.field: {subject.value}}
    if stream == FEEDBACK:
        found = {"key": traces.keys | ({subject.value} if subject.field == "key" else set())}
    return {name: values for name, values in {**found, "row_id": traces.rows}.items() if values}


def images_in(features: Mapping[str, Any]) -> frozenset[str]:
    """Find the digests of the images among logged features."""
    images = (value.get("sha256") for value in features.values() if isinstance(value, dict))
    return frozenset(digest for digest in images if isinstance(digest, str) and is_digest(digest))


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 in hexadecimal, and thus names no other object than an image."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
