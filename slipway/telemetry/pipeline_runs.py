"""Results of pipeline runs: how each training and each monitoring run of a use case ended, kept for `/metrics`.

`runs/ENV/USECASE/FLOW.json` under SLIPWAY_LOG_URL, which all homes have: on a laptop, and where flow runs are pods that
end. A run that was killed leaves nothing: Prefect knows of it, and the next scheduled time passes without a result.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from slipway.errors import SlipwayError
from slipway.storage import object_store

if TYPE_CHECKING:
    from slipway.settings import Settings

TRAIN, MONITOR = "train", "monitor"
FLOWS = (TRAIN, MONITOR)
SUCCEEDED, REFUSED, FAILED = OUTCOMES = "succeeded", "refused", "failed"
_log = logging.getLogger("slipway.runs")


class RunHistory(msgspec.Struct, frozen=True):
    """The runs of one flow of a use case: their number and last end by outcome, and facts of the last one.

    `rows` counts them by side, `gates` by verdict; both are empty for a run that did not get that far.
    """

    runs: dict[str, int] = {}
    ended: dict[str, Annotated[datetime, msgspec.Meta(tz=True)]] = {}
    seconds: float = 0.0
    rows: dict[str, int] = {}
    gates: dict[str, int] = {}


class RunResult(msgspec.Struct):
    """Result of the run under way. Without an outcome it is not recorded: it repeated one that is."""

    outcome: str | None = SUCCEEDED
    rows: dict[str, int] = {}
    gates: dict[str, int] = {}


@contextmanager
def recorded(settings: Settings, usecase: str, flow: str) -> Iterator[RunResult]:
    """Record how the block ends; gives the result for it to fill in. An exception makes it `failed`."""
    result, started = RunResult(), time.monotonic()
    try:
        yield result
    except Exception:
        result.outcome = FAILED
        _record(settings, usecase, flow, result, time.monotonic() - started)
        raise
    _record(settings, usecase, flow, result, time.monotonic() - started)


def read(settings: Settings, usecase: str, flow: str) -> RunHistory | None:
    """Read the history of a flow; None without any run, or where the file is damaged, which the next run replaces.

    Raises:
        ServiceError, OSError: the log cannot be read.
    """
    try:
        return msgspec.json.decode(object_store(settings).read(object_name(settings, usecase, flow)), type=RunHistory)
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def _record(settings: Settings, usecase: str, flow: str, result: RunResult, seconds: float) -> None:
    """Add a run. A log that cannot be written fails no run: then it lacks in the metrics, and the log says so."""
    outcome = result.outcome
    if outcome is None:
        return
    try:
        before = read(settings, usecase, flow) or RunHistory()
        found = RunHistory(
            runs=before.runs | {outcome: before.runs.get(outcome, 0) + 1},
            ended=before.ended | {outcome: datetime.now(UTC)},
            seconds=seconds,
            rows=result.rows,
            gates=result.gates,
        )
        object_store(settings).put(object_name(settings, usecase, flow), msgspec.json.encode(found))
    except (SlipwayError, OSError) as error:
        _log.warning("%s: the result of the run %s cannot be recorded: %s", usecase, flow, error)


def object_name(settings: Settings, usecase: str, flow: str) -> str:
    """Name the history in the log."""
    return f"runs/{settings.environment}/{usecase}/{flow}.json"
