"""Finds a subject's events among lines of the log, also in lines that are no events."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from monitoring.erasure.subject import Event, Subject, Traces, images_in, named_by

_encode = msgspec.json.Encoder().encode
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class _Id(msgspec.Struct):
    id: str


class _Fields(msgspec.Struct):
    row_id: str | None = None
    key: str | None = None
    row_key: str | None = None
    features: dict[str, Any] = {}


class _Line(msgspec.Struct):
    event: _Id
    slipway: _Fields
    timestamp: str = msgspec.field(name="@timestamp")


_decode = msgspec.json.Decoder(_Line).decode


class LineMatcher:
    """Matcher of a stream's lines: few hold the subject's bytes, and those alone are parsed."""

    def __init__(self, stream: str, subject: Subject, traces: Traces) -> None:
        self._named = named_by(stream, subject, traces)
        self._texts = {(name.encode(), _encode(value)) for name, values in self._named.items() for value in values}
        self._longest = max((len(text) for _, text in self._texts), default=0)
        self._fields = re.compile(b'"(%b)":' % "|".join(self._named).encode())

    def mentions(self, line: bytes) -> bool:
        """Whether a line holds a name of the subject as an event would, wherever it stands."""
        for field in self._fields.finditer(line):
            text = _STRING.match(line, field.end(), field.end() + self._longest)
            if text and (field[1], text[0]) in self._texts:
                return True
        return False

    def event(self, line: bytes) -> Event | None:
        """Read the line's event if it is one of the subject's.

        A line that mentions the subject and is no event counts as one, without an id.
        """
        if not self.mentions(line):
            return None
        try:
            found = _decode(line)
        except (ValueError, RecursionError):
            return Event("")
        fields = found.slipway
        if not any(getattr(fields, name) in values for name, values in self._named.items()):
            return None
        images = images_in(fields.features)
        return Event(found.event.id, found.timestamp[:10], fields.row_id, fields.key, fields.row_key, images)
