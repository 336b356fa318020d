"""Heads: what was read of a head is known when its bytes come again, and most clients send few different ones.

A parser that is at the beginning of a message makes the same of the same bytes, so it need not be asked twice.
"""

from __future__ import annotations

from typing import NamedTuple

from bentos.request import RequestContext

MOST_HEADS = 1024
MOST_BYTES = 2048  # of a head, up to the empty line
_END = b"\r\n\r\n"


class CachedHeaders(NamedTuple):
    """`name` is the use case that is asked; `head` is of the request that it was read for."""

    name: str
    head: RequestContext


class HeaderCache:
    """The heads that came lately, of requests for a prediction whose body was as long as `Content-Length` says."""

    def __init__(self) -> None:
        self._known: dict[bytes, CachedHeaders] = {}

    def find(self, data: bytes) -> tuple[CachedHeaders, bytes] | None:
        """The head and the body of `data`, where it is one whole request and nothing more, its head being known."""
        end = data.find(_END, 0, MOST_BYTES) + len(_END)
        known = self._known.get(data[:end])
        if known is None or len(data) - end != known.head.content_length:
            return None
        return known, data[end:]

    def keep(self, data: bytes, name: str, head: RequestContext, body: bytes) -> None:
        """Remember the head that `data` begins with, where `find` would find all of the request by it.

        One with an id of the caller's own will not come again.
        """
        end = data.find(_END, 0, MOST_BYTES) + len(_END)
        whole = head.content_length == len(body) == len(data) - end and end >= len(_END)
        if whole and head.repeatable:
            if len(self._known) >= MOST_HEADS:
                self._known.clear()
            self._known[data[:end]] = CachedHeaders(name, head)
