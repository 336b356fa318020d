"""Canonical JSON: one form for equal values, whether they are from JSON, a table or numpy."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_PLAIN = frozenset({str, int, bool, type(None)})
encode = msgspec.json.Encoder().encode


def canonical(value: Any) -> Any:
    """Convert to one value all that are equal: 5.0 to 5, NaN to None, pixels to their digest."""
    kind = value.__class__
    if kind is float:
        if value != value:
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if kind in _PLAIN:
        return value
    if getattr(value, "shape", ()) != ():
        return hashlib.sha256(repr(value.shape).encode() + value.tobytes()).hexdigest()
    if hasattr(value, "item"):
        return canonical(value.item())
    text = str(value)  # a time, or pandas' own kinds of missing
    return None if text in ("NaT", "<NA>") else text


def text_of(value: Any) -> str:
    """Format equal values as the same text: `5`, `5.0` and numpy's 5 are equal."""
    return value if isinstance(value, str) else encode(canonical(value)).decode()
