"""`/metrics` of the watch process, from made-up files: runs, decisions, quality, drift, rollouts, declared bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.analysis import verdict
from monitoring.retraining.decisions import Decisions
from monitoring.rollout import RolloutView
from monitoring.status import exporter, pipeline_exporter, usecase_files, verdict_age
from monitoring.status.pass_metrics import PassMetrics
from slipway.settings import settings
from slipway.telemetry import pipeline_runs
from slipway.timestamps import iso
from tests.slipway.telemetry.certificates import at, pem

NOW = datetime(2026, 1, 30, 12, 20, tzinfo=UTC)  # a Friday
YAML = """
name: {name}
owner: {owner}
task: binary
source: {{path: rows.csv}}
features: [{{name: age, kind: integer}}]
target: {{name: risk, classes: [good, bad], positive: bad}}
gates: {{absolute: {{roc_auc: 0.7, brier: 0.2, no_metric: 1}}}}
schedule: {{train: "0 3 * * *", monitor: "0 * * * *"}}
"""
Rollouts = dict[str, dict[str, Any]]


class World:
    """Use cases with a folder, and the collectors of one watch process, which outlive a scrape."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rollouts: Rollouts = {}
        self._collectors = exporter.collectors(settings(), lambda: self.rollouts)

    def add(self, name: str, owner: str = "team@example.com", **rollout: Any) -> None:
        self.rollouts[name] = RolloutView(**rollout).to_dict()
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / name / "usecase.yaml").write_text(YAML.format(name=name, owner=owner))

    def scrape(self) -> dict[str, dict[tuple[str, ...], float]]:
        """The values by name and labels, without those of processes."""
        families = [family for collector in self._collectors for family in collector.collect()]
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for sample in (sample for family in families for sample in family.samples):
            if "process" not in sample.labels:
                found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
        assert exporter.exposition(self._collectors)
        return found

    def names(self) -> set[str]:
        return {labels[0] for series in self.scrape().values() for labels in series if labels}


@pytest.fixture
def world(var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("SLIPWAY_USECASES", str(tmp_path / "usecases"))
    for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    return World(tmp_path / "usecases")


def write_verdict(name: str, **changes: Any) -> None:
    def test(feature: str, method: str, drifted: bool) -> dict[str, Any]:
        return {"name": feature, "method": method, "drifted": drifted, "effect": {"value": 0.2}}

    score = {"value": 0.75, "low": 0.7, "high": 0.8}
    quality = {"coverage": 0.5, "sentence": "", "labelled": 40, "label_delay_seconds": 90.0, "metrics": {"auc": score}}
    found = {
        "usecase": name,
        "created": iso(NOW),
        "version": "3",
        "verdict": "drift",
        "sentence": "",
        "features": [test("age", "ks", False), test("age", "missing", True), test("job", "chi2", False)],
        "predictions": [test("prediction.score", "ks", False)],
        "quality": quality,
        "synthetic": False,
    }
    verdict.write(settings(), found | changes, "one.json")


def test_a_verdict_has_drift_by_feature_and_quality_with_its_interval(world: World) -> None:
    world.add("loans")
    write_verdict("loans")
    found = world.scrape()
    drifted = {"age": 1, "job": 0, "prediction.score": 0}
    assert found["slipway_drift_feature_detected"] == {("loans", name): value for name, value in drifted.items()}
    assert found["slipway_quality_interval"] == {
        ("loans", "3", "auc", "low"): 0.7,
        ("loans", "3", "auc", "high"): 0.8,
    }
    assert (found["slipway_labels"], found["slipway_label_delay_seconds"]) == ({("loans",): 40}, {("loans",): 90})
    assert found["slipway_quality_bound"] == {("loans", "roc_auc", "min"): 0.7, ("loans", "brier", "max"): 0.2}
    assert found["slipway_usecase_info"] == {("loans", "team@example.com", "binary"): 1}


def test_a_verdict_of_an_earlier_release_has_what_it_says(world: World) -> None:
    world.add("loans")
    old = {"coverage": 0.5, "sentence": "", "labelled": 0, "metrics": {"auc": {"value": 0.7}}}
    write_verdict("loans", quality=old)
    found = world.scrape()
    assert found["slipway_quality"] == {("loans", "3", "auc"): 0.7}
    assert "slipway_quality_interval" not in found and "slipway_label_delay_seconds" not in found


def test_runs_are_shown_with_their_outcome_rows_and_gates(world: World) -> None:
    world.add("loans")
    with pipeline_runs.recorded(settings(), "loans", "train") as result:
        result.outcome, result.rows, result.gates = "refused", {"train": 60, "holdout": 20}, {"passed": 8, "failed": 1}
    found = world.scrape()
    runs = {outcome: float(outcome == "refused") for outcome in pipeline_runs.OUTCOMES}
    assert found["slipway_pipeline_runs_total"] == {("loans", "train", name): value for name, value in runs.items()}
    assert found["slipway_pipeline_run_timestamp_seconds"].keys() == {("loans", "train", "refused")}
    assert found["slipway_pipeline_run_duration_seconds"][("loans", "train")] < 10
    assert found["slipway_pipeline_rows"] == {("loans", "train"): 60, ("loans", "holdout"): 20}
    assert found["slipway_pipeline_gates"] == {("loans", "passed"): 8, ("loans", "failed"): 1}


def test_a_flow_is_due_by_its_schedule_and_its_grace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return NOW

    monkeypatch.setattr(pipeline_exporter, "datetime", Clock)
    monkeypatch.setattr(verdict_age, "STARTED", NOW - timedelta(days=30))
    world.add("loans")
    due = {"train": NOW.replace(hour=3, minute=0), "monitor": NOW.replace(minute=0)}
    expected = {("loans", flow): at.timestamp() for flow, at in due.items()}
    assert world.scrape()["slipway_pipeline_due_timestamp_seconds"] == expected
    monkeypatch.setattr(verdict_age, "STARTED", NOW)
    assert "slipway_pipeline_due_timestamp_seconds" not in world.scrape()
    with pipeline_runs.recorded(settings(), "loans", "train"):
        pass
    assert world.scrape()["slipway_pipeline_due_timestamp_seconds"].keys() == {("loans", "train")}


def test_decisions_are_counted_with_every_refusal(world: World) -> None:
    world.add("loans")
    decisions, facts = Decisions(settings(), "loans"), {"asked_for": "drift", "asked_by": "monitor", "version": "3"}
    today = datetime.now(UTC)
    for day in (today - timedelta(days=1), today, today):
        decisions.refuse(day, "cooldown", reason="too soon", **facts)
    decisions.start(today, "run-1", reason="drift", **facts)
    counts = {("loans", "started"): 1, ("loans", "refused"): 3}
    assert world.scrape()["slipway_retraining_decisions_total"] == counts
    decisions.refuse(today, "cooldown", reason="too soon", **facts)
    counts["loans", "refused"] = 4
    assert world.scrape()["slipway_retraining_decisions_total"] == counts


def test_a_running_rollout_has_its_stage(world: World) -> None:
    world.add("loans", version="4", champion="3", weight=25, stage=2, since=iso(NOW))
    world.add("prices")
    found = world.scrape()
    assert found["slipway_rollout_stage"] == {("loans", "4"): 2}
    assert found["slipway_rollout_stage_since_timestamp_seconds"] == {("loans",): NOW.timestamp()}


def test_the_certificate_of_the_proxy_is_exported(world: World, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "tls.crt"
    path.write_bytes(pem(7))
    monkeypatch.setenv("SLIPWAY_TLS_CERTIFICATE", str(path))
    settings.cache_clear()
    expiries = World(world.folder).scrape()["slipway_credential_expiry_timestamp_seconds"]
    assert expiries == {("certificate", "SLIPWAY_TLS_CERTIFICATE"): at(7)}


def test_use_cases_that_come_and_go_leave_no_series(world: World) -> None:
    world.add("loans")
    write_verdict("loans")
    before = world.scrape().keys()
    for number in range(40):
        name = f"passing_{number}"
        world.add(name)
        write_verdict(name)
        with pipeline_runs.recorded(settings(), name, "train"):
            pass
        assert world.names() == {"loans", name}
        del world.rollouts[name]
    assert world.scrape().keys() == before
    assert world.names() == {"loans"}


def test_a_changed_owner_is_shown_at_the_next_scrape_and_a_broken_file_has_none(world: World) -> None:
    world.add("loans")
    assert world.scrape()["slipway_usecase_info"] == {("loans", "team@example.com", "binary"): 1}
    world.add("loans", owner="another team")
    assert world.scrape()["slipway_usecase_info"] == {("loans", "another team", "binary"): 1}
    (world.folder / "loans" / "usecase.yaml").write_text("name: [")
    assert "slipway_usecase_info" not in world.scrape()
    (world.folder / "loans" / "usecase.yaml").unlink()
    assert "slipway_usecase_info" not in world.scrape()


def test_a_scrape_of_unchanged_files_opens_none_of_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        world.add(f"model_{number}")
        write_verdict(f"model_{number}")
        with pipeline_runs.recorded(settings(), f"model_{number}", "train"):
            pass
    before = world.scrape()

    def opened(*_: object, **__: object) -> Any:
        raise AssertionError("an unchanged file was read")

    monkeypatch.setattr("slipway.storage.local.read_regular", opened)
    monkeypatch.setattr(usecase_files.usecases, "load", opened)
    assert world.scrape().keys() == before.keys()


def test_a_damaged_verdict_costs_its_own_series_only(world: World) -> None:
    for name in ("loans", "prices"):
        world.add(name)
        write_verdict(name)
    path = Path(settings().log_root) / verdict.folder(settings(), "loans") / verdict.LATEST
    path.write_bytes(b"{")
    assert world.scrape()["slipway_drift_detected"] == {("prices",): 1}


def test_only_a_complete_pass_is_shown() -> None:
    passes = PassMetrics()

    def series() -> list[float]:
        return [sample.value for family in passes.collect() for sample in family.samples]

    assert series() == []
    with pytest.raises(RuntimeError), passes.measured():
        raise RuntimeError
    assert series() == []
    with passes.measured():
        pass
    ended, seconds = series()
    assert abs(ended - datetime.now(UTC).timestamp()) < 5
    assert 0 <= seconds < 5


@pytest.mark.parametrize(
    "changes",
    [
        {"left_out": {"files": "many"}},
        {"left_out": ["a file"]},
        {"quality": {"coverage": 0.5, "sentence": "", "metrics": {}, "labelled": "few"}},
        {"quality": {"coverage": 0.5, "sentence": "", "metrics": {}, "label_delay_seconds": "long"}},
        {"quality": {"coverage": "high", "sentence": "", "metrics": {}}},
        {"created": "yesterday"},
    ],
)
def test_a_verdict_with_values_of_other_types_costs_its_own_series_only(world: World, changes: dict[str, Any]) -> None:
    for name in ("loans", "prices"):
        world.add(name)
    write_verdict("loans", **changes)
    write_verdict("prices")
    assert world.scrape()["slipway_drift_detected"] == {("prices",): 1}


@pytest.mark.parametrize("content", ["", "{", '{"ended": {"failed": "0001-01-01T00:00:00"}}', '{"seconds": "long"}'])
def test_damaged_results_of_runs_cost_their_own_series_only(world: World, content: str) -> None:
    for name in ("loans", "prices"):
        world.add(name)
        with pipeline_runs.recorded(settings(), name, "train"):
            pass
    path = Path(settings().log_root) / pipeline_runs.object_name(settings(), "loans", "train")
    path.write_text(content)
    assert world.scrape()["slipway_pipeline_run_duration_seconds"].keys() == {("prices", "train")}


def test_versions_and_features_of_earlier_verdicts_and_rollouts_leave_no_series(world: World) -> None:
    numbers = set()
    for number in range(20):
        version = str(number)
        world.add("loans", version=version, champion="3", weight=25, stage=2, since=iso(NOW))
        test = {"name": f"feature_{number}", "method": "ks", "drifted": True, "effect": {"value": 0.2}}
        score = {"value": 0.75, "low": 0.7, "high": 0.8}
        quality = {"coverage": 0.5, "sentence": "", "labelled": 40, "metrics": {f"metric_{number}": score}}
        write_verdict("loans", version=version, features=[test], predictions=[], quality=quality)
        numbers.add(sum(len(series) for series in world.scrape().values()))
    assert len(numbers) == 1
