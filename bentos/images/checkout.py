"""Checkout: the folder that Slipway is packaged from, its locks, and what git says of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import slipway
from slipway.errors import SlipwayError

ROOT = Path(slipway.__file__).resolve().parents[1]
PACKAGED = ("slipway", "bentos", "locks")


def lock(name: str) -> Path:
    """Raises SlipwayError where this is no checkout."""
    path = ROOT / "locks" / f"{name}.txt"
    if not path.exists():
        raise SlipwayError(f"there is no {path}: `slipway package` needs a checkout of Slipway, with its locks.")
    return path


def commit(root: Path = ROOT) -> str:
    """The commit, with `-dirty` where what is packaged differs from it; `unknown` without git."""
    found = _git(root, "rev-parse", "HEAD")
    if not found:
        return "unknown"
    return found + ("-dirty" if _git(root, "status", "--porcelain", "--", *PACKAGED) else "")


def origin(root: Path = ROOT) -> str | None:
    """Where the checkout came from, without the password that may be in it; None where git knows no such place."""
    found = _git(root, "config", "--get", "remote.origin.url")
    return re.sub(r"//[^/@]*@", "//", found) if found else None


def _git(root: Path, *args: str) -> str | None:
    try:
        answer = subprocess.run(["git", *args], cwd=root, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
