"""Slipway as a container of a pod runs it, without the container: its settings, its volume and its environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.bentos.server.processes import ROOT, Server

MASK_KEY = "a secret of training and serving"
SETTINGS = {"SLIPWAY_CONTAINER": "true", "SLIPWAY_INSECURE": "true", "SLIPWAY_MASK_KEY": MASK_KEY}
OWN_PIDS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")  # as each container of a pod has them


class Container(Server):
    """`slipway serve` with a container's settings; no registry is configured unless `MLFLOW_TRACKING_URI` is given."""

    command = [sys.executable, "-m", "slipway.cli", "serve"]

    def __init__(self, var: Path, usecases: tuple[str, ...], *, args: tuple[str, ...] = (), **env: str | None) -> None:
        given = {"MLFLOW_TRACKING_URI": ""} | SETTINGS | env
        given = {name: value for name, value in given.items() if value is not None}
        super().__init__(var, usecases, ready=False, **given)
        self.command = [*self.command, *args]

    def workers(self) -> list[int]:
        return [one.pid for one in psutil.Process(self.process.pid).children(recursive=True)]

    @property
    def output(self) -> str:
        return self.log.read_text()

    def readiness(self) -> tuple[int, str]:
        """Return the status and, of a problem, the detail; 0 while nothing listens."""
        try:
            status, body = self.get("/readyz")
        except OSError:
            return 0, ""
        return status, json.loads(body)["detail"] if status == 503 else body.decode()

    def until_ready(self, *texts: str) -> str:
        return self._until(200, texts)

    def until_waiting(self, *texts: str) -> str:
        return self._until(503, texts)

    def model(self, usecase: str = "loans") -> dict[str, Any]:
        return json.loads(self.get(f"/v1/models/{usecase}")[1])

    def _until(self, expected: int, texts: tuple[str, ...]) -> str:
        found = (0, "")

        def as_expected() -> bool:
            nonlocal found
            assert self.process.poll() is None, self.output
            found = self.readiness()
            return found[0] == expected and all(part in found[1] for part in texts)

        try:
            self.wait_for(as_expected, 90)
        except AssertionError as error:
            raise AssertionError(f"{found}, not {expected} and {texts}; {error}") from None
        return found[1]


@pytest.fixture
def container(var: Path) -> Iterator[Callable[..., Container]]:
    """`container("loans", SLIPWAY_PACKAGED=…)` starts one, and ends it after the test."""
    with ExitStack() as running:

        def start(*usecases: str, **options: Any) -> Container:
            return running.enter_context(Container(var, usecases, **options))

        yield start


@pytest.fixture
def namespaces(needs: Callable[[str], Path]) -> Path:
    """Provide namespaces for tests that mount a volume or have pids of their own."""
    return needs("unshare")


@contextmanager
def following(var: Path, *usecases: str, prefix: tuple[str, ...] = (), **env: str) -> Iterator[subprocess.Popen[str]]:
    """`slipway follow`, the sidecar container."""
    command = [*prefix, sys.executable, "-m", "slipway.cli", "follow", *usecases]
    given = {**os.environ, **SETTINGS, "SLIPWAY_VAR": str(var), **env}
    process = subprocess.Popen(command, cwd=ROOT, env=given, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            for one in psutil.Process(process.pid).children() or [process]:  # unshare passes no signal on
                one.terminate()
        process.communicate(timeout=30)


@contextmanager
def volume(path: Path, *options: str) -> Iterator[Path]:
    """Provide a small volume in memory."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(["size=8m", *options]), "none", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> Path:
    """Fill the volume with a file until no space is left, and return its path."""
    filler = path / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return filler
