"""Environments of the GPU benchmark: one for serving and one for training, since their CUDA versions differ.

They are made from a folder of wheels, without a network, by the hashes of the locks that the GPU images are built from;
or they are there already.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {"serving": "serving-gpu", "training": "cluster-gpu"}
INSTALLER = "uv"
OWN_LOCK = "all"  # of the environment that people develop in
_LAST_CHARACTERS = 500


class Environment(NamedTuple):
    """An interpreter with the packages of a lock; `problem` says why there is none."""

    name: str
    python: Path
    lock: str
    problem: str = ""


def own() -> list[Environment]:
    """Return this interpreter for both, as for a dry run."""
    return [Environment(name, Path(sys.executable), OWN_LOCK) for name in LOCKS]


def prepare(
    given: Sequence[Environment], wheels: Path, folder: Path, seconds: Callable[[], float]
) -> list[Environment]:
    """Return what is given, and make the other environments from the wheels while `seconds()` are left."""
    missing = [name for name in LOCKS if name not in {one.name for one in given}]
    return [*given, *(_make_all(missing, wheels, folder, seconds) if missing else [])]


def _make_all(names: Sequence[str], wheels: Path, folder: Path, seconds: Callable[[], float]) -> list[Environment]:
    try:
        uv = _install_uv(wheels, folder / "tools", seconds())
    except (OSError, subprocess.SubprocessError) as error:
        return [Environment(name, Path(), LOCKS[name], _reason(error)) for name in names]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda name: _make(name, uv, wheels, folder, seconds()), names))


def _install_uv(wheels: Path, tools: Path, seconds: float) -> Path:
    _run([sys.executable, "-m", "venv", str(tools)], seconds)
    pip = [str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *_from_wheels(wheels, INSTALLER)], seconds)
    return tools / "bin" / "uv"


def _make(name: str, uv: Path, wheels: Path, folder: Path, seconds: float) -> Environment:
    python = folder / name / "bin" / "python"
    cache = ["--offline", "--cache-dir", str(folder / "cache")]
    install = [str(uv), "pip", "install", "--quiet", *cache, "--python", str(python)]
    try:
        _run([str(uv), "venv", "--quiet", *cache, "--python", sys.executable, str(folder / name)], seconds)
        _run([*install, *_from_wheels(wheels, LOCKS[name])], seconds)
    except (OSError, subprocess.SubprocessError) as error:
        return Environment(name, python, LOCKS[name], _reason(error))
    return Environment(name, python, LOCKS[name])


def _from_wheels(wheels: Path, lock: str) -> list[str]:
    return ["--no-index", "--find-links", str(wheels), "--require-hashes", "-r", str(ROOT / "locks" / f"{lock}.txt")]


def _run(command: Sequence[str], seconds: float) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=max(seconds, 0), env=_clean())


def _clean() -> dict[str, str]:
    """Leave out what would point pip and uv to an index, and Python to packages elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}


def _reason(error: Exception) -> str:
    said = getattr(error, "stderr", "") or str(error)
    return " ".join(str(said).split())[-_LAST_CHARACTERS:]
