"""One form for values that are equal, however they came: from JSON, from a table, or as numpy's."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_PLAIN = frozenset({str, int, bool, type(None)})
encode = msgspec.json.Encoder().encode


def canonical(value: Any) -> Any:
    """One value for all that are equal: 5.0 is 5, NaN is None, pixels are their digest."""
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
    """The same text for values that are equal: `5`, `5.0` and numpy's 5 are one."""
    return value if isinstance(value, str) else encode(canonical(value)).decode()
