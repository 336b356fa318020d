"""Limits on untrusted JSON, checked before it is parsed: no deeper than what Slipway writes."""

from __future__ import annotations

import re

MOST_DEPTH = 32
MOST_BRACKETS = 1_000_000
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # matches from every quote on: no text is read twice
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def problem(content: bytes) -> str | None:
    """Find why bytes must not be parsed; None if they may be. Whether they are JSON, the parser finds.

    >>> problem(b'{"a": "[[["}'), problem(b"[" * 33)
    (None, 'it is nested more than 32 deep')
    """
    brackets = _STRINGS.sub(b"", content).translate(None, _NO_BRACKETS)
    if len(brackets) > MOST_BRACKETS:
        return f"it has more than {MOST_BRACKETS:,} brackets"
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if depth > MOST_DEPTH:
            return f"it is nested more than {MOST_DEPTH} deep"
    return None
