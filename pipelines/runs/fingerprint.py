"""What makes two trainings the same one: data, configuration, code, lock file, seed and the secret that masks."""

from __future__ import annotations

import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import slipway
from pipelines.artifacts import sha256
from pipelines.data import sources
from slipway.config import UseCase
from slipway.settings import settings

ROOT = Path(slipway.__file__).resolve().parents[1]
_CODE = (".py", ".yaml")
_NO_TRAINING = ("slipway/cli", "slipway/demo", "slipway/stack")


def fingerprint(usecase: UseCase, register: bool) -> dict[str, Any]:
    """The parts that are known before a run begins, each a digest or small enough to read.

    A run that will not register is another one: it has not asked the registry what to compare with.
    """
    return {
        "data": sources.digest(usecase),
        "configuration": digest_of(usecase.model_dump(mode="json")),
        "code": code_digest(usecase),
        "lock": lock_digest(),
        "seed": usecase.seed,
        "mask": hashlib.sha256(b"slipway mask key\0" + settings().mask_secret()).hexdigest(),
        "register": register,
    }


def digest_of(content: Any) -> str:
    """The SHA-256 of something that JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def code_digest(usecase: UseCase) -> str:
    """The digest of every file whose change may change a model: `slipway`, `pipelines` and the use case's folder."""
    folders = {"slipway": ROOT / "slipway", "pipelines": ROOT / "pipelines", "usecase": usecase.folder}
    return digest_of(
        {f"{room}/{path.relative_to(at)}": sha256(path) for room, at in folders.items() for path in _files(at)}
    )


def lock_digest() -> str | None:
    """The digest of the lock file, where this is a checkout."""
    path = ROOT / "locks" / "all.txt"
    return sha256(path) if path.exists() else None


@cache
def git_state() -> dict[str, Any]:
    """The commit that runs, and whether files differ from it; None where this is no checkout."""
    commit = _git("rev-parse", "HEAD")
    return {"git_commit": commit, "git_dirty": bool(_git("status", "--porcelain")) if commit else None}


def _git(*args: str) -> str | None:
    try:
        answer = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix in _CODE and path.is_file())
    return sorted(path for path in found if not any(part in path.as_posix() for part in _NO_TRAINING))
