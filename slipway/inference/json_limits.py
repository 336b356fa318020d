"""Limits on JSON before it is decoded: its bytes do not bound the memory that it takes.

An element of two bytes becomes an object of a hundred, and one wide character makes four bytes of each in its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from slipway.errors import InputError

SMALL = 64 << 10  # bytes, of a body or of a text: it takes a few megabytes at most
_ELEMENTS = b",{["
_QUOTE = b'"'
_BEGINS_ELEMENT = np.isin(np.arange(256, dtype=np.uint8), list(_ELEMENTS))
_WIDE = re.compile(rb"\\u(?!00[0-7])")


def require_bounded(body: bytes, max_elements: int) -> None:
    """Raise InputError (413) for JSON that takes much more memory than its bytes.

    Rows, values, keys and whatever nests are elements. A long text is ASCII, as base64 is.
    """
    if len(body) <= SMALL:
        return
    if sum(map(body.count, _ELEMENTS)) > max_elements and (found := count_elements(body)) > max_elements:
        raise _too_large(f"has {found:,} JSON elements, at most {max_elements:,} are read")
    if not _is_narrow(body) and not all(map(_is_narrow, _long_texts(body))):
        raise _too_large(f"has a text of more than {SMALL:,} bytes that is not ASCII")


def count_elements(body: bytes) -> int:
    """Count `,`, `{` and `[` outside of strings. A backslash outside of one is no JSON: what follows it is not decoded.

    >>> count_elements(b'{"a, b": [1, 2]}')
    3
    """
    characters = np.frombuffer(_without_escaped_quotes(body), np.uint8)
    outside = np.cumsum(characters == _QUOTE[0], dtype=np.uint8) & 1 == 0
    return int(np.count_nonzero(outside & _BEGINS_ELEMENT[characters]))


def _long_texts(body: bytes) -> Iterator[bytes]:
    """Yield what is longer than a small text and holds no quote: long texts, and numbers between texts."""
    body = _without_escaped_quotes(body)
    begin = 0
    while begin + SMALL < len(body):
        end = body.rfind(_QUOTE, begin, begin + SMALL)
        if end < 0:
            end = body.find(_QUOTE, begin + SMALL)
            end = end if end >= 0 else len(body)
            yield body[begin:end]
        begin = end + 1


def _is_narrow(text: bytes) -> bool:
    return text.isascii() and not (rb"\u" in text and _WIDE.search(text))


def _without_escaped_quotes(body: bytes) -> bytes:
    return body.replace(rb"\\", b"..").replace(rb"\"", b"..")


def _too_large(found: str) -> InputError:
    return InputError(f"the body {found}: send several requests.", status=413)
