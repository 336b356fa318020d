"""Exporter of the watch process, `/metrics`: verdicts, rollouts, versions, pipelines and the lag of the shipper.

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
from monitoring.status.pipeline_exporter import PipelineCollector
from monitoring.status.unchanged_reads import UnchangedReads
from monitoring.status.usecase_exporter import UseCaseCollector
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.telemetry.certificates import CertificateFiles
from slipway.telemetry.credentials import CredentialMetrics
from slipway.telemetry.processes import this_process
from slipway.timestamps import parse

CONTENT_TYPE = CONTENT_TYPE_LATEST
_log = logging.getLogger("slipway.watch")


class VerdictCollector(Collector):
    """Gauges of each use case's last verdict, if it has one, and of its rollout."""

    def __init__(
        self,
        config: Settings,
        usecases: Callable[[], Mapping[str, dict[str, Any]]],
        reads: UnchangedReads | None = None,
    ) -> None:
        self._config = config
        self._usecases = usecases
        self._reads = reads or UnchangedReads(config)

    def collect(self) -> Iterator[Metric]:
        rollouts = self._usecases()
        found = {usecase: last for usecase in rollouts if (last := self._verdict(usecase))}
        yield from _drift(found)
        yield from _monitoring(rollouts, found)
        yield from _quality(found)
        yield from _rollouts(rollouts)
        yield from self._registry()
        yield lag_of_log(self._config)

    def _verdict(self, usecase: str) -> dict[str, Any] | None:
        name = f"{verdict.folder(self._config, usecase)}/{verdict.LATEST}"
        return self._reads.get(name, lambda: last_verdict(self._config, usecase))

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
            if last := self._snapshot(usecase):
                altered.add_metric([usecase], len(last.alterations))
                deleted.add_metric([usecase], len(last.gone))
        yield from (altered, deleted)

    def _snapshot(self, usecase: str) -> RegistrySnapshot | None:
        name = registry_snapshot.object_name(self._config, usecase)
        return self._reads.get(name, lambda: last_snapshot(self._config, usecase))


def collectors(config: Settings, usecases: Callable[[], Mapping[str, dict[str, Any]]]) -> list[Collector]:
    """Make the collectors of the watch process; `usecases` returns each use case's rollout (RolloutView as a mapping).

    They keep what they read from one scrape to the next.
    """
    reads = UnchangedReads(config)
    return [
        VerdictCollector(config, usecases, reads),
        UseCaseCollector(usecases),
        PipelineCollector(config, usecases, reads),
        CredentialMetrics(CertificateFiles({"SLIPWAY_TLS_CERTIFICATE": config.tls_certificate}).expiries),
        this_process("watch"),
    ]


def exposition(found: Iterable[Collector]) -> bytes:
    """Render the metrics of collectors."""
    registry = CollectorRegistry()
    for collector in found:
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
    drifted = GaugeMetricFamily(
        "slipway_drift_feature_detected",
        "1 where a test of this feature, or output, found drift in the last verdict.",
        labels=["usecase", "feature"],
    )
    for usecase, last in verdicts.items():
        tests = [*last["features"], *last["predictions"]]
        for test in tests:
            score.add_metric([usecase, test["name"], test["method"]], test["effect"]["value"])
        found = {test["name"] for test in tests if test["drifted"]}
        for name in dict.fromkeys(test["name"] for test in tests):
            drifted.add_metric([usecase, name], float(name in found))
        detected.add_metric([usecase], float(last["verdict"] == verdict.DRIFT))
    yield from (score, detected, drifted)


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
    interval = GaugeMetricFamily(
        "slipway_quality_interval",
        "Ends of the 95 % interval of a live score: `low` and `high`.",
        labels=["usecase", "version", "metric", "end"],
    )
    measured = [(usecase, last) for usecase, last in verdicts.items() if last["quality"]]
    for usecase, last in measured:
        coverage.add_metric([usecase], last["quality"]["coverage"])
        for name, live in last["quality"]["metrics"].items():
            labels = [usecase, str(last["version"]), name]
            scores.add_metric(labels, live["value"])
            for end in ("low", "high"):
                if end in live:
                    interval.add_metric([*labels, end], live[end])
    yield from (scores, interval, coverage, *_labels(measured))


def _labels(measured: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[Metric]:
    labelled = GaugeMetricFamily(
        "slipway_labels", "Predictions of the last verdict's window that have a label.", labels=["usecase"]
    )
    delay = GaugeMetricFamily(
        "slipway_label_delay_seconds",
        "Median time from a prediction of the last verdict's window to when its label was known.",
        labels=["usecase"],
    )
    for usecase, last in measured:
        labelled.add_metric([usecase], last["quality"].get("labelled", 0))
        if (seconds := last["quality"].get("label_delay_seconds")) is not None:
            delay.add_metric([usecase], seconds)
    yield from (labelled, delay)


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
    stage = GaugeMetricFamily(
        "slipway_rollout_stage", "Stage of a running rollout, from 1.", labels=["usecase", "version"]
    )
    since = GaugeMetricFamily(
        "slipway_rollout_stage_since_timestamp_seconds", "Start of a running rollout's stage.", labels=["usecase"]
    )
    for usecase, rollout in rollouts.items():
        if rollout["rolled_back_at"]:
            at.add_metric([usecase], parse(rollout["rolled_back_at"]).timestamp())
        back.add_metric([usecase], rollout["rolled_back"])
        if rollout["version"] is not None:
            weight.add_metric([usecase, rollout["version"]], rollout["weight"])
            stage.add_metric([usecase, rollout["version"]], rollout["stage"])
            since.add_metric([usecase], parse(rollout["since"]).timestamp())
    yield from (weight, stage, since, back, at)
