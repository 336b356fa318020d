"""One serving image for all tests of it, made by the command line from a bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.infra.images.containers import BASE, docker
from tests.support import bundles

ROOT = Path(__file__).resolve().parents[3]
BUILD_SECONDS = 1500  # the first build on a machine downloads what a lock names: up to 3 GB


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@dataclass(frozen=True)
class Made:
    """Output of `slipway package … --json`, and the bundle it packaged."""

    bundle: Path
    answer: dict[str, Any]

    @property
    def tag(self) -> str:
        return self.answer["image"]["tag"]

    @property
    def bento(self) -> Path:
        return Path(self.answer["directory"])


def package(var: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run `slipway package` in a process of its own, as a person would."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    env |= {"SLIPWAY_VAR": str(var), "BENTOML_HOME": str(var / "bentoml")}
    argv = [sys.executable, "-m", "slipway.cli", "package", *args]
    return subprocess.run(argv, capture_output=True, text=True, env=env, cwd=ROOT)


def made(folder: Path, *args: str) -> Iterator[Made]:
    """Build the image of a new bundle, removed at the end; its layers of dependencies stay cached."""
    bundles.write(folder / "bundle")
    options = ["--bundle", str(folder / "bundle"), "--containerize", "--base", BASE, "--json", *args]
    ran = package(folder / "var", "loans", *options)
    assert ran.returncode == 0, ran.stderr
    found = Made(folder / "bundle", json.loads(ran.stdout))
    yield found
    docker("image", "rm", "--force", "--no-prune", found.tag, check=False)


@pytest.fixture(scope="session")
def image(needs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    needs("docker")
    yield from made(tmp_path_factory.mktemp("image"))
