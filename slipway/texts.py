"""Texts that came from elsewhere (a server, a file), cut to what a message, a log or a metric may hold."""

from __future__ import annotations

import re
from hashlib import sha256

MAX_CHARACTERS = 300
_CUT = "…"
MARK_CHARACTERS = 9
_MARK = re.compile(r"-[0-9a-f]{8}$")


def one_line(text: str, most: int = MAX_CHARACTERS) -> str:
    """Put a text on one line of at most `most` characters, without what a terminal or a log would act on.

    >>> one_line(" no such\\n\\tmodel\\x1b[31m "), one_line("abcdef", 4)
    ('no such model[31m', 'abc…')
    """
    line = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text[: 4 * most])
    line = " ".join(line.split())
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1] + _CUT


def marked(name: str, shown: str) -> str:
    """Return what is shown of a name, with a digest of the name, so that names stay apart which look the same."""
    return f"{shown}-{sha256(name.encode()).hexdigest()[:8]}"


def looks_marked(name: str) -> bool:
    """Whether a name could be taken for one that `marked` has made."""
    return _MARK.search(name) is not None
