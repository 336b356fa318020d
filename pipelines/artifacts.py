"""The files that steps leave for one another: JSON for people and programs, and digests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS = (
    *("ingest", "clean", "validate", "champion", "production", "split"),
    *("train", "evaluate", "export", "gate", "bundle", "register"),
)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class RunPaths:
    """The steps' directories; one that is there is complete."""

    root: Path
    ingest: Path
    clean: Path
    validate: Path
    champion: Path
    production: Path
    split: Path
    train: Path
    evaluate: Path
    export: Path
    gate: Path
    bundle: Path
    register: Path

    @classmethod
    def under(cls, root: Path) -> RunPaths:
        return cls(root, *(root / step for step in STEPS))
