"""Keys of metrics and parameters in MLflow, which allows fewer characters than names of features have."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from slipway.texts import looks_marked, marked

_ALLOWED = re.compile(r"[/\w.\- ]+")  # a colon is refused by a server on Windows
_REPLACED = re.compile(r"[^\w.\- ]")


def allowed_keys(names: Iterable[str]) -> dict[str, str]:
    """Map names to keys that MLflow allows, each to another.

    A name that MLflow allows is its own key. One that it refuses, or that differs from another in what some databases
    ignore (case, accents, blanks at its end), ends in a digest of the name; so does one that ends as such a key does.
    """
    distinct = set(names)
    alike = Counter(map(_folded, distinct))
    kept = {name for name in distinct if _is_allowed(name) and alike[_folded(name)] == 1}
    return {name: name if name in kept else marked(name, _REPLACED.sub("_", name)) for name in distinct}


def _is_allowed(name: str) -> bool:
    """Whether MLflow takes the name as a part of a key: it treats keys as paths, which must not resolve to others."""
    path = f"a/{name}/z"
    return _ALLOWED.fullmatch(name) is not None and posixpath.normpath(path) == path and not looks_marked(name)


def _folded(name: str) -> str:
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).rstrip()
