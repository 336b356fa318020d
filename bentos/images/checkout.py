"""Checkout: the folder that Slipway is packaged from, its lock files and its git commit."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import slipway
from slipway.errors import SlipwayError

ROOT = Path(slipway.__file__).resolve().parents[1]
PACKAGED = ("slipway", "bentos", "locks")


def lock(name: str) -> Path:
    """Return the path of a lock file. Raises SlipwayError where this is not a checkout."""
    path = ROOT / "locks" / f"{name}.txt"
    if not path.exists():
        raise SlipwayError(f"there is no {path}: `slipway package` needs a checkout of Slipway, with its lock files.")
    return path


def commit(root: Path = ROOT) -> str:
    """Return the commit, with `-dirty` where the packaged files differ from it; `unknown` without git."""
    found = _git(root, "rev-parse", "HEAD")
    if not found:
        return "unknown"
    return found + ("-dirty" if _git(root, "status", "--porcelain", "--", *PACKAGED) else "")


def origin(root: Path = ROOT) -> str | None:
    """Return the URL of the remote repository without its credentials; None where there is none."""
    found = _git(root, "config", "--get", "remote.origin.url")
    return re.sub(r"//[^/@]*@", "//", found) if found else None


def _git(root: Path, *args: str) -> str | None:
    try:
        ran = subprocess.run(["git", *args], cwd=root, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.strip() if ran.returncode == 0 else None
