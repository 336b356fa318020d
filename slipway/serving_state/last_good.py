"""Last good bundle: `serving/USECASE/served.json` holds the digest that a worker loaded last.

A worker writes it, and one that starts under a lost or refused pointer serves it; the follower keeps it in the store.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from slipway.errors import DamagedFile
from slipway.system.files import read_struct, write_json


def read(serving: Path, usecase: str) -> str | None:
    """Read the digest; None if nothing was loaded yet, or the file is damaged: the next load replaces it."""
    with contextlib.suppress(DamagedFile):
        return read_struct(_path(serving, usecase), str)
    return None


def write(serving: Path, usecase: str, digest: str) -> None:
    """Write the digest atomically."""
    write_json(_path(serving, usecase), digest)


def _path(serving: Path, usecase: str) -> Path:
    return serving / usecase / "served.json"
