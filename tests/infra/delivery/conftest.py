"""Fixtures for tests of the delivery: a release, programs' doubles, and its command line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.delivery.__main__ import main
from infra.delivery.release import Image, Release, write_release
from tests.support.doubles.program_double import Programs

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAMES = ("slipway-ship", "slipway-platform", "slipway-serving-credit-risk")


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def a_release(letter: str = "a", registry: str = "registry.example.com", commit: str = COMMIT) -> Release:
    images = (
        Image(name, f"1-{commit[:12]}", digest(letter), f"sbom/{name}.cdx.json", f"provenance/{name}.json", "1")
        for name in NAMES
    )
    return Release(registry, commit, tuple(images))


@pytest.fixture
def release_file(tmp_path: Path) -> Path:
    path = tmp_path / "release" / "release.json"
    write_release(a_release(), path)
    return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    return Programs(tmp_path / "bin", monkeypatch)


@pytest.fixture
def deliver(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`deliver("verify", path)` runs a verb, and returns its exit code, standard output and standard error."""

    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            raise SystemExit(main([str(arg) for arg in args]))
        code = ended.value.code
        return (int(code or 0), *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def no_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test as on a laptop, also where tests themselves run in GitHub Actions."""
    for name in ("OUTPUT", "STEP_SUMMARY", "REPOSITORY", "RUN_ID", "RUN_ATTEMPT", "SERVER_URL"):
        monkeypatch.delenv(f"GITHUB_{name}", raising=False)
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL", raising=False)
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`repository({"a.txt": "text"})` commits files in a new repository, where programs run, and returns the commit."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.setattr("infra.delivery.program.ROOT", folder)

    def git(*args: str) -> str:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        return subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")

    def commit(files: dict[str, str | None]) -> str:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if text is None else path.write_text(text)
        git("add", "--all")
        git("commit", "--quiet", "--message", "A change")
        return git("rev-parse", "HEAD").strip()

    return commit
