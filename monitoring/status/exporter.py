"""Exporter of the watch process, `/metrics`: last verdicts, rollouts, altered versions and the lag of the shipper.

All values are read when Prometheus scrapes: a gauge on a scraped exporter is its way for results of batch jobs that run
elsewhere on the same files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring.analysis import verdict
from monitoring.governance import registry_snapshot
from monitoring.governance.registry_snapshot import RegistrySnapshot
from monitoring.log_shipping.exporter import lag_of_log
from monitoring.reports.publication import REPORTS
from monitoring.status import verdict_age
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.timestamps import parse

CONTENT_TYPE = CONTENT_TYPE_LATEST
_log = logging.getLogger("slipway.watch")


class VerdictCollector(Collector):
    """Gauges of each use case's last verdict, if it has one, and of its rollout."""

    def __init__(self, config: Settings, usecases: Callable[[], Mapping[str, dict[str, Any]]]) -> None:
        self._config = config
        self._usecases = usecases

    def collect(self) -> Iterator[Metric]:
        rollouts = self._usecases()
        found = {usecase: last for usecase in rollouts if (last := last_verdict(self._config, usecase))}
        yield from _drift(found)
        yield from _monitoring(rollouts, found)
        yield from _quality(found)
        yield from _rollouts(rollouts)
        yield from self._registry()
        yield lag_of_log(self._config)

    def _registry(self) -> Iterator[Metric]:
        """Altered and deleted versions of each model, from the snapshot of `slipway watch`."""
        altered = GaugeMetricFamily(
            "slipway_versions_altered",
            "Files and digests of versions that are not as they were registered.",
            labels=["usecase"],
        )
        deleted = CounterMetricFamily(
            "slipway_versions_deleted", "Versions that were deleted from the registry.", labels=["usecase"]
        )
        for usecase in self._usecases():
            if last := last_snapshot(self._config, usecase):
                altered.add_metric([usecase], len(last.alterations))
                deleted.add_metric([usecase], len(last.gone))
        yield from (altered, deleted)


def exposition(config: Settings, usecases: Callable[[], Mapping[str, dict[str, Any]]], *others: Collector) -> bytes:
    """Render the metrics, `others` too; `usecases` returns each use case's rollout (RolloutView as a mapping)."""
    registry = CollectorRegistry()
    for collector in (VerdictCollector(config, usecases), *others):
        registry.register(collector)
    return generate_latest(registry)


def last_verdict(config: Settings, usecase: str) -> dict[str, Any] | None:
    """Read the last verdict; None without one, or if it cannot be read, which is logged."""
    try:
        return verdict.latest(config, usecase)
    except (SlipwayError, OSError) as error:
        _log.warning("%s: the last verdict cannot be read: %s", usecase, error)
        return None


def last_snapshot(config: Settings, usecase: str) -> RegistrySnapshot | None:
    """Read the snapshot of a model's versions; None without one, or if it cannot be read, which is logged."""
    try:
        return registry_snapshot.read(config, usecase)
    except (SlipwayError, OSError) as error:
        _log.warning("%s: its registry snapshot cannot be read: %s", usecase, error)
        return None


def _drift(verdicts: Mapping[str, dict[str, Any]]) -> Iterator[Metric]:
    score = GaugeMetricFamily(
        "slipway_drift_score",
        "Size of a feature's change: normed Wasserstein distance by ks, population stability index by chi2.",
        labels=["usecase", "feature", "method"],
    )
    detected = GaugeMetricFamily("slipway_drift_detected", "1 where the last verdict is drift.", labels=["usecase"])
    for usecase, last in verdicts.items():
        for test in [*last["features"], *last["predictions"]]:
            score.add_metric([usecase, test["name"], test["method"]], test["effect"]["value"])
        detected.add_metric([usecase], float(last["verdict"] == verdict.DRIFT))
    yield from (score, detected)


def _monitoring(usecases: Iterable[str], verdicts: Mapping[str, dict[str, Any]]) -> Iterator[Metric]:
    """Whether monitoring does its own work: when it had to, when it did, and what was left out of it."""
    created = GaugeMetricFamily("slipway_verdict_timestamp_seconds", "Time of the last verdict.", labels=["usecase"])
    due = GaugeMetricFamily(
        "slipway_verdict_due_timestamp_seconds",
        "Scheduled time that the last verdict must not be older than: by `schedule.monitor`, 15 minutes ago or more.",
        labels=["usecase"],
    )
    missing = GaugeMetricFamily(
        "slipway_report_missing",
        "1 where the last verdict lacks a report: its `page`, the one of `evidently`, or its run in `mlflow`.",
        labels=["usecase", "report"],
    )
    left_out = GaugeMetricFamily(
        "slipway_prediction_log_left_out_files",
        "Files of the log that the last verdict left out: those that cannot be read, or have lines that are no events.",
        labels=["usecase"],
    )
    for usecase in usecases:
        if expected := verdict_age.due(usecase, verdicts.get(usecase)):
            due.add_metric([usecase], expected.timestamp())
    for usecase, last in verdicts.items():
        created.add_metric([usecase], parse(last["created"]).timestamp())
        for report in REPORTS:
            missing.add_metric([usecase, report], float(report in last.get("missing_reports", ())))
        left_out.add_metric([usecase], last.get("left_out", {}).get("files", 0))
    yield from (created, due, missing, left_out)


def _quality(verdicts: Mapping[str, dict[str, Any]]) -> Iterator[Metric]:
    scores = GaugeMetricFamily(
        "slipway_quality",
        "Live score of the watched version: the usual metrics of its task, and those that the use case is gated on.",
        labels=["usecase", "version", "metric"],
    )
    coverage = GaugeMetricFamily(
        "slipway_label_coverage_ratio", "Share of predictions that have a label.", labels=["usecase"]
    )
    for usecase, last in verdicts.items():
        if not last["quality"]:
            continue
        coverage.add_metric([usecase], last["quality"]["coverage"])
        for name, live in last["quality"]["metrics"].items():
            scores.add_metric([usecase, str(last["version"]), name], live["value"])
    yield from (scores, coverage)


def _rollouts(rollouts: Mapping[str, dict[str, Any]]) -> Iterator[Metric]:
    weight = GaugeMetricFamily(
        "slipway_rollout_weight_percent", "Share of requests that the canary answers.", labels=["usecase", "version"]
    )
    back = CounterMetricFamily(
        "slipway_rollout_rolled_back", "Canaries that were rolled back, from the audit.", labels=["usecase"]
    )
    at = GaugeMetricFamily(
        "slipway_rollout_rolled_back_timestamp_seconds", "Time of the last rollback of a canary.", labels=["usecase"]
    )
    for usecase, rollout in rollouts.items():
        if rollout["rolled_back_at"]:
            at.add_metric([usecase], parse(rollout["rolled_back_at"]).timestamp())
        back.add_metric([usecase], rollout["rolled_back"])
        if rollout["version"] is not None:
            weight.add_metric([usecase, rollout["version"]], rollout["weight"])
    yield from (weight, back, at)
