"""Fixtures of a prediction log of its own for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.prediction_log import Log, Writer
from slipway.settings import Settings, settings
from tests.support.prediction_log.sample_events import USECASE


@pytest.fixture
def config(var: Path) -> Settings:
    return settings()


@pytest.fixture
def log(config: Settings) -> Log:
    return Log(config)


@pytest.fixture
def write(config: Settings) -> Callable[..., None]:
    """Provide `write(*lines)`, which makes one complete segment of them."""

    def write(*lines: bytes, stream: str = "prediction") -> None:
        write_segment(config, *lines, stream=stream)

    return write


def write_segment(config: Settings, *lines: bytes, usecase: str = USECASE, stream: str = "prediction") -> None:
    """Write one complete segment of the lines."""
    writer = Writer(config.spool, usecase, stream)
    for line in lines:
        assert writer.write(line)
    writer.close()
