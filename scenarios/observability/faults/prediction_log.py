"""Faults of the prediction log: a shipper that is stopped, a spool and a log storage that cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenarios.observability.deployment import Deployment
from scenarios.observability.faults.fault import fault
from slipway.settings import settings


@fault("the shipper is stopped", "SlipwayShipperDown")
def shipper_stopped(deployment: Deployment) -> Iterator[None]:
    deployment.stack.stop("ship")
    yield
    deployment.start("ship")


@fault("a file is in place of the spool's folder", "SlipwayPredictionLogLost")
def spool_unwritable(deployment: Deployment) -> Iterator[None]:
    with _file_in_place_of(settings().spool / deployment.name):
        yield


@fault("a file is in place of the log's folder", "SlipwayPredictionLogBehind")
def log_unwritable(deployment: Deployment) -> Iterator[None]:
    with _file_in_place_of(Path(settings().log_root)):
        yield


@contextmanager
def _file_in_place_of(folder: Path) -> Iterator[None]:
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)
