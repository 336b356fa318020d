"""Rollouts in a simulated world, each with a registry, a log and an audit of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.settings import settings
from tests.monitoring.rollout.rollout_world import World


@pytest.fixture
def rollout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """`rollout(stages=[10, 100])` is a world with that in its use case's section `canary`."""
    count = itertools.count()

    def make(environment: str = "local", **canary: object) -> World:
        folder = tmp_path / str(next(count))
        monkeypatch.setenv("SLIPWAY_ENVIRONMENT", environment)
        monkeypatch.setenv("SLIPWAY_VAR", str(folder / "var"))
        monkeypatch.setenv("SLIPWAY_USECASES", str(folder / "usecases"))
        settings.cache_clear()
        return World(settings(), folder / "usecases", **canary)

    return make
