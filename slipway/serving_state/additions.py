"""Additions: use cases that a server takes up while it runs, one a line of the file that SLIPWAY_SERVE_FILE names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from slipway.system.files import read_regular, write_text


def read(path: Path | None) -> tuple[str, ...]:
    """Read the names; none where there is no such file. What is no name is ignored: a name is a folder, too."""
    if path is None:
        return ()
    try:
        lines = read_regular(path).decode(errors="replace").splitlines()
    except (OSError, ValueError):
        return ()
    return tuple(dict.fromkeys(name for name in map(str.strip, lines) if name.isidentifier()))


def write(path: Path, names: Iterable[str]) -> None:
    """Write the names atomically."""
    write_text(path, "".join(f"{name}\n" for name in names), durable=False)
