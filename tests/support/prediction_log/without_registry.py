"""Fixtures of a prediction log of its own for each test, in an environment without a registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.settings import Settings, settings
from tests.support.prediction_log.log_fixtures import log, write

__all__ = ["config", "log", "write"]


@pytest.fixture
def config(var: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("SLIPWAY_CONTAINER", "true")
    monkeypatch.setenv("SLIPWAY_MLFLOW_PORT", "9")
    settings.cache_clear()
    return settings()
