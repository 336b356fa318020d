"""`kill -9` in each step, then the same command: finished steps are not repeated, and one version is registered."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.artifacts import STEPS
from pipelines.artifacts.json_files import read_json
from pipelines.runs.run import open_run
from pipelines.training import training
from slipway.clients.mlflow.registry import Registry
from slipway.config import load
from slipway.settings import settings

SMALL = {"epochs": 1, "members": 2, "width": 8, "bins": 4, "frequencies": 2}
PRELOADED = ["pipelines.training", "great_expectations", "tensorflow", "sklearn.linear_model", "mlflow"]


def attempt(environment: dict[str, str], victim: str | None) -> None:
    """The command in a process of its own; it is killed where a step's work is done but its name is not yet there."""
    os.environ.update(environment)
    settings.cache_clear()
    usecase = load("orders")
    with open_run(usecase, {}, register=True, fresh=False) as run:

        def do(name: str, function: Callable[..., None], *args: Any, **kwargs: Any) -> Path:
            def deadly(*args: Any, out: Path, **kwargs: Any) -> None:
                function(*args, out=out, **kwargs)
                if name == victim:
                    os.kill(os.getpid(), signal.SIGKILL)

            return run.step(name, deadly, *args, **kwargs)

        training(usecase, run, do)


@pytest.fixture
def ended(usecase, orders, mlflow_server, tmp_path, var) -> Callable[[str | None], int]:
    """`ended(step)` is the exit code of a training that is killed in that step."""
    usecase(orders, params=SMALL)
    environment = {"SLIPWAY_VAR": str(var), "SLIPWAY_USECASES": str(tmp_path / "usecases")}
    environment["MLFLOW_TRACKING_URI"] = mlflow_server
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def run(victim: str | None) -> int:
        process = context.Process(target=attempt, args=(environment, victim))
        process.start()
        process.join(240)
        assert process.exitcode is not None
        return process.exitcode

    return run


def test_a_run_killed_in_each_step_ends_in_one_version_without_doing_a_step_twice(ended, var, mlflow_server):
    done: dict[str, int] = {}
    for victim in STEPS:
        assert ended(victim) == -signal.SIGKILL
        (root,) = (path.parent for path in (var / "runs").glob("*/run.json"))
        found = {path.name: path.stat().st_mtime_ns for path in root.iterdir() if path.name in STEPS}
        assert set(found) == set(STEPS[: STEPS.index(victim)])
        assert done.items() <= found.items(), "a finished step was done again"
        done = found
    assert ended(None) == 0
    (version,) = Registry(mlflow_server).versions("orders")
    result = read_json(root / "register" / "result.json")
    assert result["version"] == version.version and result["already"]
    assert version.tags["slipway.run_key"] == root.name
    assert ended(None) == 0
    assert len(Registry(mlflow_server).versions("orders")) == 1, "a finished run that is repeated registers nothing"
