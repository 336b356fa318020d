"""Copies what the patterns match into a folder, below their common folder, as actions/upload-artifact stores it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def upload(folder: Path, missing: str, patterns: list[str]) -> str:
    """Copy the files, and return what was done.

    Raises:
        SystemExit: nothing matches, and `missing` is `error`.
    """
    found = [path for pattern in patterns for path in _matching(pattern)]
    files = [file for path in found for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    if not files:
        told = f"no file matches {', '.join(patterns)}"
        if missing == "error":
            raise SystemExit(f"::error::{told}")
        return told
    top = _common_folder(found)
    for file in files:
        target = folder / file.absolute().relative_to(top)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    return f"{len(files)} files are in {folder}"


def _matching(pattern: str) -> list[Path]:
    top = "/" if pattern.startswith("/") else "."
    return sorted(Path(top).glob(pattern.lstrip("/")))


def _common_folder(found: list[Path]) -> Path:
    """Return the folder below which files keep their paths: of one folder itself, of one file its folder."""
    paths = [path.absolute() if path.is_dir() else path.absolute().parent for path in found]
    return Path(os.path.commonpath(paths))


if __name__ == "__main__":
    _, folder, missing, patterns = sys.argv
    said = upload(Path(folder), missing, [line.strip() for line in patterns.splitlines() if line.strip()])
    sys.stdout.write(f"stand-in: {said}\n")
