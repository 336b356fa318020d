"""Built-in use cases after a training of one epoch, which all workers of one test run share."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.config import UseCase, load
from slipway.settings import settings
from tests.support import sharing

EPOCHS = {"epochs": "1"}


def trained_once(factory: pytest.TempPathFactory, name: str) -> tuple[UseCase, Path]:
    """Return the use case and the folder of its training; the first that asks for it trains."""
    folder = sharing.of_the_run(factory) / f"trained-{name}"
    folder.mkdir(exist_ok=True)
    with sharing.locked(folder / "lock"):
        return train(name, folder / "var")


def train(name: str, var: Path) -> tuple[UseCase, Path]:
    """Train in that state folder, or do there what is left of a training."""
    from pipelines.runs.run import open_run
    from pipelines.training import training

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_VAR", str(var))
        settings.cache_clear()
        usecase = load(name, EPOCHS)
        with open_run(usecase, EPOCHS, register=False, fresh=False) as run:
            training(usecase, run, run.step)
    settings.cache_clear()
    return usecase, run.paths.root
