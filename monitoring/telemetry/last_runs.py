"""Last runs of each use case's pipelines: how they ended, when, and how long they took."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.telemetry import pipeline_runs
from slipway.telemetry.pipeline_runs import FLOWS, RunHistory
from slipway.timestamps import iso

_log = logging.getLogger("slipway.watch")


@dataclass(frozen=True)
class Run:
    """The last run of a flow; `gates` counts a training's gates by verdict."""

    flow: str
    outcome: str
    ended: str
    seconds: float
    gates: dict[str, int]


def last_runs(config: Settings, usecases: Iterable[str]) -> dict[str, list[Run]]:
    """Read the last runs by use case. A log that cannot be read is waited for once, and has no runs."""
    try:
        return {usecase: _of(config, usecase) for usecase in usecases}
    except (SlipwayError, OSError) as error:
        _log.warning("the last runs cannot be read: %s", error)
        return {}


def _of(config: Settings, usecase: str) -> list[Run]:
    histories = {flow: pipeline_runs.read(config, usecase, flow) for flow in FLOWS}
    return [_last(flow, history) for flow, history in histories.items() if history and history.ended]


def _last(flow: str, history: RunHistory) -> Run:
    outcome, ended = max(history.ended.items(), key=lambda item: item[1])
    return Run(flow, outcome, iso(ended), history.seconds, history.gates)
