"""Environments of the GPU benchmark: made offline from a folder of wheels, by the hashes of a lock."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.gpu import download, environments
from benchmarks.gpu.environments import INSTALLER, LOCKS, ROOT, Environment

UV = Path(sys.executable).parent / "uv"


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder with one small wheel, which both locks name; the installer is there already."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "ANSWER = 42\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    (tmp_path / "locks").mkdir()
    for lock in LOCKS.values():
        (tmp_path / "locks" / f"{lock}.txt").write_text(f"tiny==1.0 --hash=sha256:{sha256(wheel)}\n")
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "_install_uv", lambda *_: UV)
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_both_are_made_without_an_index(wheels, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    made = environments.prepare([], wheels, tmp_path, lambda: 60.0)
    assert [(one.name, one.lock, one.problem) for one in made] == [(name, lock, "") for name, lock in LOCKS.items()]
    for one in made:
        done = subprocess.run([one.python, "-c", "import tiny; print(tiny.ANSWER)"], capture_output=True, text=True)
        assert done.stdout == "42\n", done.stderr


def test_one_that_is_there_is_not_made(wheels, tmp_path) -> None:
    there = Environment("training", Path(sys.executable), "all")
    training, serving = environments.prepare([there], wheels, tmp_path, lambda: 60.0)
    assert training is there
    assert (serving.name, serving.python.parent.parent, serving.problem) == ("serving", tmp_path / "serving", "")


def test_a_wheel_that_is_not_the_locks_is_not_installed(wheels, tmp_path) -> None:
    lock = tmp_path / "locks" / f"{LOCKS['serving']}.txt"
    lock.write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    serving, training = environments.prepare([], wheels, tmp_path, lambda: 60.0)
    assert "hash" in serving.problem.lower() and training.problem == ""


def test_a_wheel_that_is_missing_is_named(wheels, tmp_path) -> None:
    next(wheels.glob("*.whl")).unlink()
    assert all("tiny" in one.problem for one in environments.prepare([], wheels, tmp_path, lambda: 60.0))


def test_without_time_there_is_a_reason_and_no_environment(wheels, tmp_path) -> None:
    assert all("timed out" in one.problem for one in environments.prepare([], wheels, tmp_path, lambda: 0.0))


def test_the_wheels_of_every_lock_are_downloaded_by_their_hashes(tmp_path, monkeypatch, capsys) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(download.subprocess, "run", lambda command, check: called.append(command))
    monkeypatch.setattr(sys, "argv", ["download", str(tmp_path / "wheels")])
    monkeypatch.setattr(download.platform, "system", lambda: "Linux")
    monkeypatch.setattr(download.platform, "machine", lambda: "x86_64")
    assert download.main() == 0
    locks = [Path(command[command.index("-r") + 1]) for command in called]
    assert [lock.stem for lock in locks] == [INSTALLER, *LOCKS.values()] and all(lock.is_file() for lock in locks)
    assert all("--require-hashes" in command and str(tmp_path / "wheels") in command for command in called)
    assert "0 wheels" in capsys.readouterr().out


def test_wheels_are_downloaded_only_where_pip_takes_those_of_the_gpu_machine(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["download"])
    monkeypatch.setattr(download.platform, "system", lambda: "Darwin")
    with pytest.raises(SystemExit):
        download.main()
    assert "use Python 3.11 on Linux and x86_64" in capsys.readouterr().err


def test_the_locks_are_those_of_the_gpu_images() -> None:
    from bentos.images.bento import LOCKS as SERVING

    assert LOCKS["serving"] == SERVING["gpu"]
    assert "LOCK=cluster$(if $(filter gpu,$(DEVICE)),-gpu)" in (ROOT / "Makefile").read_text()
    assert LOCKS["training"] == "cluster-gpu"
