"""Cache of parsed request headers, keyed by their raw bytes.

Most clients repeat the same headers, so parsing them again is skipped: a parser at the beginning of a message derives
the same from the same bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from bentos.request import RequestContext

MAX_ENTRIES = 1024
MAX_HEAD_BYTES = 2048  # up to and including the empty line
_END = b"\r\n\r\n"


class CachedHeaders(NamedTuple):
    """The use case of the path, and the context of the request whose headers were parsed."""

    usecase: str
    context: RequestContext


class HeaderCache:
    """The headers of recent prediction requests whose body was as long as `Content-Length` says."""

    def __init__(self) -> None:
        self._entries: dict[bytes, CachedHeaders] = {}

    def find(self, data: bytes) -> tuple[CachedHeaders, bytes] | None:
        """Return the cached headers and the body, if `data` is exactly one request with known headers."""
        end = data.find(_END, 0, MAX_HEAD_BYTES) + len(_END)
        cached = self._entries.get(data[:end])
        if cached is None or len(data) - end != cached.context.content_length:
            return None
        return cached, data[end:]

    def keep(self, data: bytes, usecase: str, context: RequestContext, body: bytes) -> None:
        """Cache the headers that `data` begins with, if `find` could find the whole request by them.

        Headers with an id of the client's own are not kept: they will not be sent again.
        """
        end = data.find(_END, 0, MAX_HEAD_BYTES) + len(_END)
        complete = context.content_length == len(body) == len(data) - end and end >= len(_END)
        if complete and context.repeatable:
            if len(self._entries) >= MAX_ENTRIES:
                self._entries.clear()
            self._entries[data[:end]] = CachedHeaders(usecase, context)
