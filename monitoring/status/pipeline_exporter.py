"""Metrics of pipeline runs and of decisions on retraining, from what they left in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring.retraining.decision_counts import DecisionCounts
from monitoring.retraining.decisions import folder
from monitoring.status import verdict_age
from monitoring.status.unchanged_reads import UnchangedReads
from monitoring.status.usecase_files import declared
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.telemetry import pipeline_runs
from slipway.telemetry.pipeline_runs import FLOWS, MONITOR, OUTCOMES, TRAIN, RunHistory

GRACE = {TRAIN: timedelta(hours=6), MONITOR: verdict_age.GRACE}
"""What a flow may take from its scheduled time to its end."""
_Histories = Mapping[tuple[str, str], RunHistory]
_log = logging.getLogger("slipway.watch")


class PipelineCollector(Collector):
    """Metrics of the use cases that `names` returns; those without a run have no series of one."""

    def __init__(self, config: Settings, names: Callable[[], Iterable[str]], reads: UnchangedReads) -> None:
        self._config = config
        self._names = names
        self._reads = reads
        self._decisions = DecisionCounts(config)

    def collect(self) -> Iterator[Metric]:
        names = list(self._names())
        found = {(name, flow): history for name in names for flow in FLOWS if (history := self._history(name, flow))}
        yield from _ends(found)
        yield from _facts(found)
        yield _due(names, found)
        yield self._decided(names)

    def _history(self, usecase: str, flow: str) -> RunHistory | None:
        try:
            name = pipeline_runs.object_name(self._config, usecase, flow)
            return self._reads.get(name, lambda: pipeline_runs.read(self._config, usecase, flow))
        except (SlipwayError, OSError) as error:
            _log.warning("%s: the results of its runs cannot be read: %s", usecase, error)
            return None

    def _decided(self, names: Iterable[str]) -> Metric:
        family = CounterMetricFamily(
            "slipway_retraining_decisions",
            "Requests for retraining by decision: `started` or `refused`.",
            labels=["usecase", "decision"],
        )
        for usecase in names:
            try:
                counts = self._reads.get(folder(self._config, usecase), partial(self._decisions.of, usecase))
            except (SlipwayError, OSError) as error:
                _log.warning("%s: its decisions on retraining cannot be read: %s", usecase, error)
                continue
            for decision, count in counts.items():
                family.add_metric([usecase, decision], count)
        return family


def _ends(found: _Histories) -> Iterator[Metric]:
    runs = CounterMetricFamily(
        "slipway_pipeline_runs",
        "Runs of the flows `train` and `monitor` by outcome; `refused`: a training whose gates failed.",
        labels=["usecase", "flow", "outcome"],
    )
    ended = GaugeMetricFamily(
        "slipway_pipeline_run_timestamp_seconds",
        "Time at which the last run with this outcome ended.",
        labels=["usecase", "flow", "outcome"],
    )
    for (usecase, flow), history in found.items():
        for outcome in OUTCOMES:
            runs.add_metric([usecase, flow, outcome], history.runs.get(outcome, 0))
        for outcome, at in history.ended.items():
            ended.add_metric([usecase, flow, outcome], at.timestamp())
    yield from (runs, ended)


def _facts(found: _Histories) -> Iterator[Metric]:
    seconds = GaugeMetricFamily(
        "slipway_pipeline_run_duration_seconds", "Duration of the last run of a flow.", labels=["usecase", "flow"]
    )
    rows = GaugeMetricFamily(
        "slipway_pipeline_rows",
        "Rows of the last run: of a training by side of the split, of a monitor in its `window`.",
        labels=["usecase", "side"],
    )
    gates = GaugeMetricFamily(
        "slipway_pipeline_gates", "Gates of the last training by verdict.", labels=["usecase", "verdict"]
    )
    for (usecase, flow), history in found.items():
        seconds.add_metric([usecase, flow], history.seconds)
        for side, count in history.rows.items():
            rows.add_metric([usecase, side], count)
        for verdict, count in history.gates.items():
            gates.add_metric([usecase, verdict], count)
    yield from (seconds, rows, gates)


def _due(names: Iterable[str], found: _Histories) -> Metric:
    family = GaugeMetricFamily(
        "slipway_pipeline_due_timestamp_seconds",
        "Scheduled time that the last end of a flow must not be older than: by `schedule`, and for `train` 6 hours ago "
        "or more, for `monitor` 15 minutes.",
        labels=["usecase", "flow"],
    )
    for name in names:
        if usecase := declared(name):
            for flow, cron in ((TRAIN, usecase.schedule.train), (MONITOR, usecase.schedule.monitor)):
                if expected := _expected(cron, flow, has_run=(name, flow) in found):
                    family.add_metric([name, flow], expected.timestamp())
    return family


def _expected(cron: str | None, flow: str, *, has_run: bool) -> datetime | None:
    """The last scheduled time that has passed long enough ago; a flow without a run is due from this process' start."""
    expected = verdict_age.previous(cron, datetime.now(UTC) - GRACE[flow]) if cron else None
    return expected if expected and (has_run or expected >= verdict_age.STARTED) else None
