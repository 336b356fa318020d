"""Fingerprint of a run: data, configuration, code, lock file, seed and the secret of masking.

Two trainings with one fingerprint make the same model, so that the second one need not run.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import slipway
from pipelines.data import sources
from slipway.config import UseCase
from slipway.settings import settings
from slipway.system.files import file_sha256

ROOT = Path(slipway.__file__).resolve().parents[1]
_CODE = (".py", ".yaml")
_SHARED = ("contracts", "config", "evaluation", "inference", "prediction_log", "model_api.py")
# These modules of `pipelines` start trainings or present their results: they cannot change a model.
_NO_TRAINING = (
    *("commands", "flows.py", "deployments.py", "work_pool.py"),
    *("packaging/plots.py", "packaging/mlflow_run.py", "packaging/mlflow_signature.py"),
)


def fingerprint(usecase: UseCase, register: bool) -> dict[str, Any]:
    """Return the fingerprint's parts: digests, and values that are small enough to read.

    A run that does not register is another one: it has no baseline from the registry.
    """
    return {
        "data": sources.digest(usecase),
        "configuration": digest_of([usecase.model_dump(mode="json"), _declared_gates(usecase)]),
        "code": code_digest(usecase),
        "lock": lock_digest(),
        "seed": usecase.seed,
        "mask": hashlib.sha256(b"slipway mask key\0" + settings().mask_secret()).hexdigest(),
        "register": register,
    }


def _declared_gates(usecase: UseCase) -> dict[str, Any]:
    """Return the gates that the use case sets: a bound is another one than a default of the same value."""
    return usecase.gates.model_dump(mode="json", exclude_unset=True)


def digest_of(content: Any) -> str:
    """Return the SHA-256 of JSON content, independent of the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def code_digest(usecase: UseCase) -> str:
    """Return the digest of all code that can change a model: of `slipway`, `pipelines` and the use case's folder."""
    shared, training = ROOT / "slipway", ROOT / "pipelines"
    excluded = [training / name for name in _NO_TRAINING]
    code = [
        *(("slipway", shared, path) for name in _SHARED for path in _files(shared / name)),
        *(("pipelines", training, path) for path in _files(training) if not _is_in(path, excluded)),
        *(("usecase", usecase.folder, path) for path in _files(usecase.folder)),
    ]
    return digest_of({f"{package}/{path.relative_to(root)}": file_sha256(path) for package, root, path in code})


def lock_digest() -> str | None:
    """Return the digest of the lock file; None if this is no checkout."""
    path = ROOT / "locks" / "all.txt"
    return file_sha256(path) if path.exists() else None


@cache
def git_state() -> dict[str, Any]:
    """Return the commit that runs, and whether files differ from it; None if this is no checkout."""
    commit = _git("rev-parse", "HEAD")
    return {"git_commit": commit, "git_dirty": bool(_git("status", "--porcelain")) if commit else None}


def _git(*args: str) -> str | None:
    try:
        result = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _files(path: Path) -> list[Path]:
    """Return the file itself, or the code files below the folder."""
    if path.is_file():
        return [path]
    return sorted(found for found in path.rglob("*") if found.suffix in _CODE and found.is_file())


def _is_in(path: Path, excluded: list[Path]) -> bool:
    return any(path == one or one in path.parents for one in excluded)
