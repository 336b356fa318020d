"""Errors of image registries: each writes its own words, and a person needs to know what to do."""

from __future__ import annotations

import re

from slipway.texts import one_line

_MISSING = re.compile(r"manifest unknown|name unknown|manifest for .* not found|: not found\s*$", re.IGNORECASE)
_ADVICE = (
    (
        r"no space left|disk quota|quota.*exceeded|limit ?exceeded|507 insufficient",
        "the registry is full: remove images that no environment runs, or raise its limit, and run this again.",
    ),
    (
        r"immutable|tag.*already exists|cannot be overwritten",
        "the registry has another image under this tag, and tags of releases are never moved: build another commit.",
    ),
    (
        r"unauthorized|denied|no basic auth|authentication required|forbidden|authorization token has expired",
        "the registry refuses this login: run `docker login` for it, with a role that may push.",
    ),
    (
        r"name unknown|repository.*(does not exist|not found)",
        "the registry has no such repository: add its name to `repositories` of the Terraform module `registry`.",
    ),
    (
        r"\b50[0-9]\b|internal server error",
        "the registry failed: its log says why. A disk that is full looks like this, too.",
    ),
    (
        r"connection refused|no such host|i/o timeout|tls handshake|server gave http response",
        "the registry does not respond: is its name right, and is it reached from here?",
    ),
)


def is_missing(output: str) -> bool:
    """Tell whether a failed pull says that the registry has no such image."""
    return bool(_MISSING.search(output))


def explain(reference: str, output: str) -> str:
    """Say what a failed pull or push means and what to do, with the registry's own last line."""
    lines = [line for line in output.strip().splitlines() if line.strip()] or ["it gave no reason"]
    advice = next((advice for pattern, advice in _ADVICE if re.search(pattern, output, re.IGNORECASE)), "")
    return f"{reference}: {one_line(lines[-1]).rstrip('.')}.{' Meaning: ' + advice if advice else ''}"
