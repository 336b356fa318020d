"""Keys of metrics and parameters in MLflow, which allows fewer characters than names of features have."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256

_ALLOWED = re.compile(r"[/\w.\- ]+")  # a colon is refused by a server on Windows
_REPLACED = re.compile(r"[^\w.\- ]")


def allowed_keys(names: Iterable[str]) -> dict[str, str]:
    """Map names to keys that MLflow allows, each to another.

    A name that MLflow allows is its own key. One that it refuses, or that differs from another in case only, which some
    databases ignore, ends in a digest of the name.
    """
    distinct = set(names)
    alike = Counter(map(_folded, distinct))
    return {name: name if _is_allowed(name) and alike[_folded(name)] == 1 else _changed(name) for name in distinct}


def _is_allowed(name: str) -> bool:
    """Whether MLflow takes the name as a part of a key: it treats keys as paths, which must not resolve to others."""
    path = f"a/{name}/z"
    return _ALLOWED.fullmatch(name) is not None and posixpath.normpath(path) == path


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _changed(name: str) -> str:
    return f"{_REPLACED.sub('_', name)}-{sha256(name.encode()).hexdigest()[:8]}"
