"""Workspace of processes that can be killed anywhere: server doubles, a log, and acts in processes of their own."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from slipway import audit
from slipway.settings import settings
from tests.conftest import NOWHERE, ROOT
from tests.faults.faults import PREFECT, REGISTRY, Effect, Fault
from tests.faults.zygote import Act, Ended
from tests.support import bundles
from tests.support.doubles.mlflow_double import MlflowDouble, Model
from tests.support.doubles.prefect_double import PrefectDouble
from tests.support.servers import publish

NAME = "loans"
START_SECONDS = 120
IMPORTED = ("tests.faults.acts", "slipway.clients.deadline", "duckdb", "encodings.idna", "numpy", "scipy.special")


class Zygote:
    """Process that all acts are forked from."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote", *IMPORTED],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("wb"),
        )
        assert self._read_line() == b'"ready"\n', log.read_text()

    def run(self, act: Act) -> Ended:
        assert self._process.stdin
        self._process.stdin.write(msgspec.json.encode(act) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._read_line(), type=Ended)

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)

    def _read_line(self) -> bytes:
        assert self._process.stdout
        return self._process.stdout.readline()


class Workspace:
    """Two servers and a state folder, which `keep` and `put_back` treat as one; `run` runs one process in it."""

    def __init__(self, folder: Path, zygote: Zygote, mlflow: MlflowDouble, prefect: PrefectDouble) -> None:
        self.folder, self.mlflow, self.prefect = folder, mlflow, prefect
        self._zygote = zygote
        self._kept: tuple[Any, Any] = (None, None)
        self.effects: list[Effect] = []  # of the transition, if nothing fails
        self.environment = {
            "SLIPWAY_VAR": str(folder / "var"),
            "SLIPWAY_USECASES": str(folder / "usecases"),
            "SLIPWAY_SERVERS": NOWHERE,
            "MLFLOW_TRACKING_URI": mlflow.uri,
            "PREFECT_API_URL": f"{prefect.uri}/api",
        }
        self._servers = {mlflow.uri.partition("//")[2]: REGISTRY, prefect.uri.partition("//")[2]: PREFECT}

    def run(self, act: str, fault: Fault | None = None, **args: Any) -> Ended:
        """Run one of `tests.faults.acts` in a process; an error that no command of Slipway raises fails the test."""
        imports = ["mlflow", "requests", "pipelines.steps.register"] if act == "register" else []
        ended = self._zygote.run(Act(f"tests.faults.acts:{act}", args, self.environment, self._servers, imports, fault))
        assert ended.exit in (0, -9), f"{ended.error}:\n{self._zygote.log.read_text()[-3000:]}"
        return ended

    def keep(self) -> None:
        """Save the state that `put_back` restores."""
        self.mlflow.state.instants.clear()
        self._kept = copy.deepcopy((self.mlflow.state, self.prefect.runs))
        shutil.rmtree(self.folder / "kept", ignore_errors=True)
        shutil.copytree(self.folder / "var", self.folder / "kept", symlinks=True)

    def put_back(self) -> None:
        """Restore the saved state."""
        self.mlflow.state, self.prefect.runs = copy.deepcopy(self._kept)
        shutil.rmtree(self.folder / "var")
        shutil.copytree(self.folder / "kept", self.folder / "var", symlinks=True)

    @property
    def is_untouched(self) -> bool:
        """Tell whether everything is as `put_back` left it."""
        servers = (self.mlflow.state, self.prefect.runs) == self._kept
        return servers and _files(self.folder / "var" / "log") == _files(self.folder / "kept" / "log")

    def version(self, passed: bool = True, bias: float = 0.0, **tags: str) -> str:
        """Register one more version of the use case and return its number."""
        folder = self.folder / f"bundle-{passed}-{bias:g}"
        if not folder.exists():
            bundles.write(folder, passed=passed, bias=bias)
        gate = {"slipway.gate": "passed" if passed else "failed"}
        return publish(self.mlflow.uri, NAME, folder, gate | tags)

    def alias(self, name: str, version: str) -> None:
        self.model.aliases[name] = version

    @property
    def model(self) -> Model:
        return self.mlflow.state.models[NAME]

    @property
    def instants(self) -> list[Model]:
        """The registered model after each write since `put_back`."""
        return [instant[NAME] for instant in self.mlflow.state.instants if NAME in instant]

    def tags(self, version: str) -> dict[str, str]:
        return self.model.versions[version]["tags"]

    @property
    def lines(self) -> list[audit.AuditLine]:
        return audit.lines(NAME, settings())

    def decisions(self) -> list[dict[str, Any]]:
        folder = self.folder / "var" / "log" / "retraining" / "local" / NAME
        return [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json")) if path.name != "latest.json"]


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    found = ((path, path.stat()) for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (stat.st_size, stat.st_mtime_ns) for path, stat in found}


@contextmanager
def zygote(log: Path) -> Iterator[Zygote]:
    process = Zygote(log)
    try:
        yield process
    finally:
        process.end()


@contextmanager
def open_workspace(folder: Path, usecase_yaml: str, zygote: Zygote) -> Iterator[Workspace]:
    """Open a workspace with that one use case, and nothing registered."""
    (folder / "usecases" / NAME).mkdir(parents=True)
    (folder / "usecases" / NAME / "usecase.yaml").write_text(usecase_yaml)
    (folder / "var").mkdir()
    with MlflowDouble() as mlflow, PrefectDouble() as prefect:
        yield Workspace(folder, zygote, mlflow, prefect)
