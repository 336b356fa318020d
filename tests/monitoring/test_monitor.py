"""`monitor`: from logged answers to a verdict, its pages and its record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from monitoring.analysis import reference_bundle
from monitoring.monitor import monitor
from monitoring.retraining.decisions import Decisions
from monitoring.rollout import RolloutView
from monitoring.status import exporter
from slipway.clients.mlflow.documents import Accepted
from slipway.clients.mlflow.registry import Registry
from slipway.clients.mlflow.version_schemas import load_schemas
from slipway.contracts.bundle import manifest
from slipway.errors import BundleError, RegistryError
from slipway.settings import settings
from slipway.telemetry import pipeline_runs
from tests.monitoring.retraining import requests
from tests.support import bundles
from tests.support.prediction_log import watched_loans as loans
from tests.support.prediction_log.broken_log import break_log
from tests.support.servers import publish, run_document, unique_name

REFERENCE = loans.rows(800, seed=1)


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    loans.write_usecase(tmp_path / "usecases", monkeypatch)
    return loans.write_bundle(tmp_path / "bundle", REFERENCE)


def latest(var: Path) -> dict[str, Any]:
    return json.loads((var / "log" / "verdicts" / "local" / "loans" / "latest.json").read_text())


def run(tmp_path: Path, **options: object) -> dict:
    return monitor("loans", **{"bundle": tmp_path / "bundle", "detailed": False, **options})


def test_predictions_from_the_same_population_are_no_drift(tmp_path: Path, digest: str) -> None:
    loans.answer(loans.rows(1000, seed=2), digest)
    found = run(tmp_path)
    assert (found["verdict"], found["drifted"], found["alarm_rate"]) == ("none", [], 0.05)
    assert (found["version"], found["bundle_sha256"]) == ("1", digest)
    assert (found["window"]["rows"], found["window"]["sampled"], found["reference"]["rows"]) == (1000, 1000, 800)
    assert [(test["name"], test["method"]) for test in found["features"]] == [
        ("age", "ks"),
        ("visits", "ks"),
        ("visits", "chi2_missing"),
        ("job", "chi2"),
        ("member", "chi2"),
    ]
    assert [test["name"] for test in found["predictions"]] == ["prediction.label", "prediction.score"]


def test_what_has_drifted_is_named_with_a_sentence(tmp_path: Path, digest: str) -> None:
    loans.answer(loans.rows(1000, seed=3, age=6, missing=0.3, astronaut=0.1), digest)
    found = run(tmp_path)
    assert found["verdict"] == "drift"
    assert found["drifted"] == ["age", "visits", "job"]
    assert found["sentence"].startswith("Drift in age, visits and job")
    sentences = {(test["name"], test["method"]): test["sentence"] for test in found["features"] if test["drifted"]}
    assert "median rose" in sentences["age", "ks"]
    assert "never seen before" in sentences["job", "chi2"]
    assert "Missing values went from" in sentences["visits", "chi2_missing"]


def test_too_few_predictions_are_reported_without_an_alarm(tmp_path: Path, digest: str) -> None:
    loans.answer(loans.rows(99, seed=4, age=50), digest)
    found = run(tmp_path)
    assert (found["verdict"], found["features"], found["drifted"]) == ("too_little_data", [], [])
    assert "99 predictions, at least 100" in found["sentence"]


def test_no_predictions_are_too_little_data(tmp_path: Path, digest: str) -> None:
    found = run(tmp_path)
    assert (found["verdict"], found["window"]["rows"], found["version"]) == ("too_little_data", 0, None)
    assert Path(found["report"]).exists()


def test_the_window_is_the_newest_predictions_and_since_moves_its_start(tmp_path: Path, digest: str) -> None:
    loans.answer(loans.rows(500, seed=5, age=30), digest, minutes_ago=60)
    loans.answer(loans.rows(500, seed=6), digest, minutes_ago=5)
    assert run(tmp_path)["drifted"] == ["age"]
    assert run(tmp_path, window_rows=500)["verdict"] == "none"
    recent = run(tmp_path, since=datetime.now(UTC) - timedelta(minutes=30))
    assert (recent["verdict"], recent["window"]["rows"]) == ("none", 500)


def test_predictions_with_one_timestamp_stay_together(tmp_path: Path, digest: str) -> None:
    loans.answer(loans.rows(300, seed=5), digest)
    found = run(tmp_path, window_rows=120)
    assert (found["window"]["rows"], found["window"]["sampled"]) == (300, 300)


def test_predictions_of_another_version_count_as_inputs_only(tmp_path: Path, digest: str) -> None:
    other = loans.rows(600, seed=7)
    other["score"] = 0.9
    loans.answer(other, "0" * 64, version="0", minutes_ago=20)
    loans.answer(loans.rows(400, seed=8), digest, version="1", minutes_ago=5)
    found = run(tmp_path)
    assert (found["version"], found["window"]["sampled"], found["verdict"]) == ("1", 1000, "none")


def test_too_few_predictions_of_a_new_version_are_reported_and_not_compared(tmp_path: Path, digest: str) -> None:
    loans.answer(loans.rows(500, seed=9), "0" * 64, version="0", minutes_ago=20)
    loans.answer(loans.rows(20, seed=10), digest, version="1", minutes_ago=5)
    found = run(tmp_path)
    assert (found["version"], found["verdict"], found["predictions"]) == ("1", "none", [])
    assert "made only 20 of the predictions" in found["notes"][0]


def compared_notes(verdict: dict[str, Any]) -> list[str]:
    return [note for note in verdict["notes"] if "compared" in note]


def test_a_feature_that_came_later_is_compared_in_the_rows_that_can_have_it(tmp_path: Path, digest: str) -> None:
    """The versions before did not have it, and what they did not log is not missing."""
    loans.answer(loans.rows(600, seed=7).drop(columns="visits"), "0" * 64, version="1", minutes_ago=20)
    loans.answer(loans.rows(300, seed=19), "1" * 64, version="2", minutes_ago=10)  # this one has it as well
    loans.answer(loans.rows(400, seed=8), digest, version="3", minutes_ago=5)
    found = run(tmp_path)
    assert (found["window"]["sampled"], found["verdict"], compared_notes(found)) == (1300, "none", [])
    [missing] = [test for test in found["features"] if test["method"] == "chi2_missing"]
    assert (missing["name"], missing["effect"]["value"] < 0.01) == ("visits", True)


def test_a_feature_of_another_kind_in_another_version_is_no_missing_one(tmp_path: Path, digest: str) -> None:
    loans.answer(loans.rows(600, seed=7).assign(visits="often"), "0" * 64, version="1", minutes_ago=20)
    loans.answer(loans.rows(400, seed=8), digest, version="2", minutes_ago=5)
    assert run(tmp_path)["verdict"] == "none"


def keep_schema(digest: str, **changes: dict[str, Any]) -> None:
    """Keep the schema of another version, whose features differ in these fields."""
    features = [msgspec.structs.replace(one, **changes.get(one.name, {})) for one in bundles.TABULAR.features]
    folder = settings().var / "schemas" / digest / "serve"
    folder.mkdir(parents=True)
    msgspec.structs.replace(bundles.TABULAR, features=tuple(features)).save(folder / "schema.json")


def judged_with_another_version(tmp_path: Path, digest: str, **logged: Any) -> dict[str, Any]:
    loans.answer(loans.rows(900, seed=7, missing=0.1).assign(**logged), "0" * 64, version="1", minutes_ago=20)
    loans.answer(loans.rows(400, seed=8), digest, version="2", minutes_ago=5)
    return run(tmp_path)


def test_a_feature_that_another_version_defined_otherwise_is_compared_in_the_rows_of_its_like(
    tmp_path: Path, digest: str
) -> None:
    """One had another unit, one another name for a category, and one was never missing."""
    renamed = {"vocabulary": ("office", "nurse", "pilot")}
    keep_schema("0" * 64, age={"unit": "months"}, job=renamed, visits={"nullable": False})
    months = loans.rows(900, seed=7)["age"] * 12
    assert judged_with_another_version(tmp_path, digest, age=months, job="office", visits=3)["verdict"] == "none"


def test_values_of_another_kind_do_not_count_where_no_schema_is_left(tmp_path: Path, digest: str) -> None:
    assert judged_with_another_version(tmp_path, digest, visits="3", job=7.5, member=1)["verdict"] == "none"


def test_the_schema_of_another_version_comes_from_the_registry_and_is_kept(mlflow_server: str, tmp_path: Path) -> None:
    name = unique_name("loans")
    made = bundles.write(tmp_path / "made", bundles.TABULAR)
    publish(mlflow_server, name, tmp_path / "made")
    asked = (name, [made, "0" * 64, "../../etc"])
    config = settings().model_copy(update={"mlflow_tracking_uri": mlflow_server})
    assert load_schemas(*asked, config) == {made: bundles.TABULAR}
    assert load_schemas(*asked, settings()) == {made: bundles.TABULAR}, "the registry does not respond any more"


def test_a_feature_that_is_only_described_otherwise_counts_with_all_its_rows(tmp_path: Path, digest: str) -> None:
    keep_schema("0" * 64, age={"unit": "", "description": "of the applicant", "range": (18.0, 30.0)})
    loans.answer(loans.rows(900, seed=7, age=6), "0" * 64, version="1", minutes_ago=20)
    loans.answer(loans.rows(400, seed=8), digest, version="2", minutes_ago=5)
    assert run(tmp_path)["drifted"] == ["age"]


def test_a_feature_that_the_watched_version_lost_is_drift_whatever_others_have(tmp_path: Path, digest: str) -> None:
    loans.answer(loans.rows(400, seed=7), "0" * 64, version="1", minutes_ago=20)
    loans.answer(loans.rows(400, seed=8).drop(columns="visits"), digest, version="2", minutes_ago=5)
    assert run(tmp_path)["drifted"] == ["visits"]


def test_a_feature_that_few_rows_can_have_is_named_and_not_compared(tmp_path: Path, digest: str) -> None:
    loans.answer(loans.rows(400, seed=7).drop(columns="visits"), "0" * 64, version="1", minutes_ago=20)
    loans.answer(loans.rows(50, seed=8, missing=1.0), digest, version="2", minutes_ago=5)
    found = run(tmp_path)
    assert (found["verdict"], "visits" in {test["name"] for test in found["features"]}) == ("none", False)
    assert "Only 50 predictions are of versions that define visits alike: it was not compared." in found["notes"]


@pytest.mark.parametrize(("sides", "compared"), [(["holdout"], True), (["holdout", "validation"], False)])
def test_a_holdout_that_is_older_than_a_feature_is_no_drift_of_it(
    tmp_path: Path, digest: str, sides: list[str], compared: bool
) -> None:
    side = pd.Series("validation", REFERENCE.index).where(REFERENCE.index < 500, "holdout")
    lacking = REFERENCE.assign(visits=REFERENCE["visits"].mask(side.isin(sides)))
    loans.answer(loans.rows(600, seed=2), loans.write_bundle(tmp_path / "older", lacking, side))
    found = run(tmp_path, bundle=tmp_path / "older")
    assert (found["verdict"], "visits" in {test["name"] for test in found["features"]}) == ("none", compared)
    unknown = "The reference has no value of visits, so it was not compared: train the model again."
    assert compared_notes(found) == ([] if compared else [unknown])


def test_a_bundle_that_did_not_make_the_predictions_is_not_compared_with(tmp_path: Path, digest: str, cli) -> None:
    """As one that was given for version 1 before the model was trained anew, or of another use case."""
    loans.answer(loans.rows(600, seed=2), "5" * 64)
    for folder, found in ((tmp_path / "bundle", digest[:18]), (tmp_path, "without a manifest")):
        ran = cli("monitor", "loans", "--bundle", str(folder))
        assert (ran.code, f"is the bundle {found}; the latest predictions are of version 1" in ran.err) == (1, True)


def test_a_number_that_comes_again_is_another_version(tmp_path: Path, digest: str) -> None:
    """As of a model that is deleted and trained anew: its first version is 1 again."""
    before = loans.rows(500, seed=7).assign(score=0.9)
    wrong = ["good" if label == "bad" else "bad" for label in before["label"]]
    loans.log_labels(loans.answer(before, "0" * 64, version="1", minutes_ago=20), wrong)
    now = loans.rows(400, seed=8)
    loans.log_labels(loans.answer(now, digest, version="1", minutes_ago=5), now["label_true"].tolist())
    found = run(tmp_path)
    assert (found["window"]["sampled"], found["verdict"]) == (900, "none")
    quality = found["quality"]
    assert (quality["predictions"], quality["labelled"]) == (400, 400)
    assert not any(metric["worse"] for metric in quality["metrics"].values())


def test_a_verdict_that_is_no_reason_requests_nothing_and_the_last_decision_is_reported(
    tmp_path: Path, digest: str, cli
) -> None:
    loans.answer(loans.rows(600, seed=2), digest)
    assert run(tmp_path)["retraining"] is None
    decisions = Decisions(settings(), "loans")
    assert decisions.recent() == []
    request = {"asked_for": "age", "asked_by": "monitor", "version": "1"}
    decisions.start(datetime(2026, 3, 1, tzinfo=UTC), "run-1", reason="No rule refuses.", **request)
    output = cli("monitor", "loans", "--bundle", str(tmp_path / "bundle"), "--no-detailed").out
    decision = "Retraining started (age, requested by monitor, 2026-03-01 00:00 UTC): No rule refuses. Flow run run-1."
    assert decision in output


def test_drift_asks_for_a_training_and_the_decision_is_in_the_verdict(tmp_path: Path, digest: str, cli) -> None:
    loans.answer(loans.rows(600, seed=3, age=6), digest)
    found = run(tmp_path)["retraining"]
    assert (found["asked_for"], found["asked_by"], found["outcome"]) == ("drift", "monitor", "refused")
    assert "does not respond" in found["reason"]
    assert found["evidence"]["reasons"]["drift"].startswith("Drift in age")
    output = cli("monitor", "loans", "--bundle", str(tmp_path / "bundle"), "--no-detailed").out
    assert "Retraining refused (drift, requested by monitor, " in output
    assert "UTC, 2 times): The registry http://127.0.0.1:9 does not respond" in output


def test_worse_predictions_request_retraining_for_quality_with_the_drift_as_evidence(
    tmp_path: Path, digest: str
) -> None:
    frame = loans.rows(600, seed=4, age=6)
    ids = loans.answer(frame, digest)
    loans.log_labels(ids, ["good" if label == "bad" else "bad" for label in frame["label"]])
    found = run(tmp_path)["retraining"]
    assert found["asked_for"] == "quality"
    assert list(found["evidence"]["reasons"]) == ["quality", "drift"]
    assert found["evidence"]["reasons"]["quality"].startswith("Worse than on the reference: accuracy")


@pytest.mark.parametrize(
    ("policy", "reason", "sentence"),
    [
        ("retraining: {max_age_days: 5}\n", "age", "Version 1 was trained 7.0 days ago, more than 5."),
        ("retraining: {new_labels: 40}\n", "labels", "40 labelled rows are new since version 1 was trained."),
    ],
)
def test_an_old_model_and_enough_new_labels_ask_without_any_drift(
    tmp_path: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch, policy: str, reason: str, sentence: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    name = requests.register(mlflow_server, tmp_path, days_ago=7)
    requests.write_usecase(tmp_path / "usecases", name, monkeypatch, "")
    requests.label(name, 40, digest=str(Registry(mlflow_server).version(name, "1").digest))
    asking = {"bundle": tmp_path / name, "detailed": False}
    assert monitor(name, **asking)["retraining"] is None
    requests.write_usecase(tmp_path / "usecases", name, monkeypatch, policy)
    found = monitor(name, **asking)["retraining"]
    assert (found["asked_for"], found["evidence"]["reasons"]) == (reason, {reason: sentence})
    assert found["rule"] == "prefect", "there is none here, and the next pass asks again"


@pytest.mark.parametrize("anew", [False, True])
def test_what_a_deleted_model_did_is_no_reason_to_train_the_next_one(
    tmp_path: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    """It drifted; the model is deleted and trained anew, and there is no prediction of its version 1 yet."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    name = requests.register(mlflow_server, tmp_path)
    requests.write_usecase(tmp_path / "usecases", name, monkeypatch, "")
    digest = Registry(mlflow_server).version(name, "1").digest
    loans.answer(loans.rows(600, seed=3, age=20), str(digest), usecase=name)
    if anew:
        Registry(mlflow_server)._send(Accepted, "DELETE", "registered-models/delete", name=name)
        bundles.write(tmp_path / "anew", bundles.TABULAR)
        publish(mlflow_server, name, tmp_path / "anew")
        Registry(mlflow_server).set_alias(name, "champion", "1")
    found = monitor(name, bundle=tmp_path / name, detailed=False)
    assert (found["verdict"], bool(found["retraining"])) == ("drift", not anew)
    assert any("champion is version 1 by now" in note for note in found["notes"]) == anew


class Killed(BaseException):
    """Ends the process in a test."""


def test_a_process_that_dies_before_it_asks_for_a_training_leaves_a_readable_verdict(
    tmp_path: Path, digest: str, var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loans.answer(loans.rows(600, seed=3, age=6), digest)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("monitoring.monitor.request_retraining_if_needed", raises(Killed()))
        run(tmp_path)
    found = latest(var)
    assert (found["verdict"], found["drifted"], found["retraining"]) == ("drift", ["age"], None)
    assert Decisions(settings(), "loans").recent() == []
    assert run(tmp_path)["retraining"]["asked_for"] == "drift", "the next monitoring run asks"


def test_a_process_that_dies_after_the_decision_leaves_it_in_the_verdict(
    tmp_path: Path, digest: str, var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loans.answer(loans.rows(600, seed=3, age=6), digest)
    monkeypatch.setattr("monitoring.reports.publication.render", raises(Killed()))
    with pytest.raises(Killed):
        run(tmp_path)
    found = latest(var)
    assert (found["retraining"]["asked_for"], found["retraining"]["outcome"]) == ("drift", "refused")


def test_a_log_that_takes_no_verdict_starts_no_training(
    tmp_path: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loans.answer(loans.rows(600, seed=3, age=6), digest)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr("slipway.storage.local.LocalStore.put", raises(OSError(28, "No space left on device")))
        patched.setattr(
            "monitoring.monitor.request_retraining_if_needed", raises(AssertionError("asked for a training"))
        )
        run(tmp_path)
    assert Decisions(settings(), "loans").recent() == []


@pytest.mark.parametrize("error", [RuntimeError("broken"), MemoryError("no room"), KeyError()])
@pytest.mark.parametrize(
    ("failing", "report", "left_out", "note"),
    [
        ("render", "page", "report", "No report page: "),
        ("score", "evidently", "evidently", "No detailed page by Evidently: "),
        ("record", "mlflow", "mlflow_run_id", "Not recorded in MLflow: "),
    ],
)
def test_a_report_that_fails_is_a_finding_in_the_verdict(
    tmp_path: Path,
    digest: str,
    var: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    failing: str,
    report: str,
    left_out: str,
    note: str,
) -> None:
    loans.answer(loans.rows(600, seed=3, age=6), digest)
    monkeypatch.setattr("monitoring.reports.publication.record", lambda *_: "run-1")
    monkeypatch.setattr(f"monitoring.reports.publication.{failing}", raises(error))
    found = run(tmp_path, detailed=failing == "score")
    assert found[left_out] is None
    assert found["missing_reports"] == [report]
    assert f"{note}{type(error).__name__}: {error}." in found["notes"]
    assert found["retraining"]["asked_for"] == "drift"
    assert latest(var) == found


def test_a_process_that_dies_in_a_report_leaves_a_verdict_that_names_the_missing_reports(
    tmp_path: Path, digest: str, var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loans.answer(loans.rows(600, seed=3, age=6), digest)
    monkeypatch.setattr("monitoring.reports.publication.score", raises(Killed()))
    with pytest.raises(Killed):
        run(tmp_path, detailed=True)
    found = latest(var)
    assert (found["verdict"], found["missing_reports"]) == ("drift", ["page", "evidently", "mlflow"])


@pytest.mark.slow
@pytest.mark.parametrize("versions", [2, 3])
def test_responses_of_several_versions_with_drift_have_every_report(
    tmp_path: Path, digest: str, monkeypatch: pytest.MonkeyPatch, versions: int
) -> None:
    """As during each canary and after each promotion, with the defaults of the command and of the scheduled flow."""
    for older in range(2, versions + 1):
        frame = loans.rows(300, seed=20 + older, age=6, missing=0.3, astronaut=0.1)
        loans.answer(frame, f"{older:064}", version=str(10 - older), minutes_ago=10 * older)
    loans.answer(loans.rows(300, seed=20, age=6, missing=0.3, astronaut=0.1), digest, version="9")
    monkeypatch.setattr("monitoring.reports.publication.record", lambda *_: "run-1")
    found = run(tmp_path, detailed=None)
    assert (found["verdict"], found["version"], found["window"]["sampled"]) == ("drift", "9", 300 * versions)
    assert [test["name"] for test in found["predictions"]] == ["prediction.label", "prediction.score"]
    assert (found["missing_reports"], found["notes"]) == ([], [])
    page = Path(found["evidently"]).read_text()
    assert "prediction.label" in page
    assert "astronaut" in page


def raises(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_late_labels_give_quality_with_intervals_and_coverage(tmp_path: Path, digest: str) -> None:
    frame = loans.rows(400, seed=11)
    ids = loans.answer(frame, digest)
    loans.log_labels(ids[:300], frame["label_true"].tolist()[:300])
    quality = run(tmp_path)["quality"]
    assert (quality["labelled"], quality["predictions"], quality["coverage"]) == (300, 400, 0.75)
    assert 300 <= quality["label_delay_seconds"] < 360  # answered five minutes ago, labelled now
    history = pipeline_runs.read(settings(), "loans", "monitor")
    assert (history.runs, history.rows) == ({"succeeded": 1}, {"window": 400})
    accuracy = quality["metrics"]["accuracy"]
    expected = (frame["label"] == frame["label_true"])[:300].mean()
    assert accuracy["value"] == pytest.approx(expected)
    assert accuracy["low"] < expected < accuracy["high"]
    assert not accuracy["worse"]
    assert set(quality["metrics"]) == {"accuracy", "roc_auc", "brier"}


def test_worse_predictions_are_reported_as_worse(tmp_path: Path, digest: str) -> None:
    frame = loans.rows(400, seed=12)
    ids = loans.answer(frame, digest)
    loans.log_labels(ids, ["good" if label == "bad" else "bad" for label in frame["label"]])
    quality = run(tmp_path)["quality"]
    assert quality["metrics"]["accuracy"]["worse"]
    assert "Worse than on the reference: accuracy" in quality["sentence"]


def test_the_verdict_lies_under_the_log_and_latest_is_the_newest(tmp_path: Path, digest: str, var: Path) -> None:
    loans.answer(loans.rows(200, seed=13), digest)
    run(tmp_path)
    found = run(tmp_path)
    folder = var / "log" / "verdicts" / "local" / "loans"
    assert json.loads((folder / "latest.json").read_text()) == found
    assert len(list(folder.glob("2*.json"))) == 2
    assert "MLflow at http://127.0.0.1:9 does not respond" in found["notes"][-1]
    assert found["mlflow_run_id"] is None


def test_the_page_starts_with_the_verdict_names_synthetic_data_and_is_complete(tmp_path: Path, digest: str) -> None:
    loans.answer(loans.rows(600, seed=14, age=6), digest)
    page = Path(run(tmp_path)["report"]).read_text()
    assert "Drift in age: no longer as in the data" in page
    assert "synthetic data" in page
    assert page.index("Drift in age") < page.index("<h2>Inputs") < page.index("<h2>Predictions")
    assert page.count('<svg class="histogram"') == 6
    assert "://" not in page.replace("http://www.w3.org", "")


def test_a_value_from_a_caller_cannot_become_markup(tmp_path: Path, digest: str) -> None:
    frame = loans.rows(400, seed=15)
    frame.loc[:200, "job"] = "<script>alert(1)</script>"
    loans.answer(frame, digest)
    page = Path(run(tmp_path)["report"]).read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_an_unreachable_registry_is_named_if_the_reference_is_missing(digest: str) -> None:
    loans.answer(loans.rows(200, seed=16), digest)
    with pytest.raises(RegistryError, match="does not respond"):
        monitor("loans", detailed=False)


def test_reference_and_record_come_from_and_go_to_the_registry(
    tmp_path: Path, digest: str, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slipway.clients.mlflow.registry import Registry

    version = publish(mlflow_server, "loans", tmp_path / "bundle")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    loans.answer(loans.rows(1000, seed=17, age=6), digest, version=version)
    found = monitor("loans")
    run_id = found["mlflow_run_id"]
    data = run_document(Registry(), run_id)["data"]
    assert {m["key"]: m["value"] for m in data["metrics"]}["drift_detected"] == 1
    names = [Path(found[kind]).name for kind in ("report", "evidently")]
    assert {*names, names[0].replace(".html", ".json")} <= set(Registry().artifacts(run_id, ""))
    logged = Registry().fetch_artifact(run_id, names[0].replace(".html", ".json"), tmp_path / "logged.json")
    assert json.loads(logged.read_text())["mlflow_run_id"] == run_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    settings.cache_clear()
    assert monitor("loans", detailed=False)["drifted"] == ["age"]


def test_the_reference_is_the_bundles_that_predicted_whatever_its_number_is_by_now(
    tmp_path: Path, digest: str, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an export into another registry, where another bundle has the number."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    loans.write_bundle(tmp_path / "other", loans.rows(300, seed=5))
    number = publish(mlflow_server, "loans", tmp_path / "other")
    publish(mlflow_server, "loans", tmp_path / "bundle")
    folder = reference_bundle.fetch(settings(), "loans", number, digest)
    assert manifest.verify(folder, digest)


def test_a_version_whose_bundle_is_not_the_one_that_predicted_is_refused(
    tmp_path: Path, digest: str, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = publish(mlflow_server, "loans", tmp_path / "bundle")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    loans.answer(loans.rows(200, seed=18), "f" * 64, version=version)
    with pytest.raises(BundleError, match="the registry says"):
        monitor("loans", detailed=False)


def test_the_command_prints_the_verdict_and_exits_with_zero_on_drift(tmp_path: Path, digest: str, cli) -> None:
    loans.answer(loans.rows(600, seed=19, age=6), digest)
    bundle = ("--bundle", str(tmp_path / "bundle"), "--no-detailed")
    ran = cli("monitor", "loans", *bundle)
    assert ran.code == 0
    assert ran.out.startswith("loans: Drift in age")
    assert "synthetic" in ran.err
    assert json.loads(cli("monitor", "loans", *bundle, "--since", "1h", "--json").out)["drifted"] == ["age"]
    assert cli("monitor", "loans", *bundle, "--fail-on-drift").code == 1
    assert cli("monitor", "loans", *bundle, "--since", "yesterday").code == 2
    assert "Did you mean 'loans'" in cli("monitor", "loan").err


@pytest.mark.slow
def test_broken_files_of_the_log_cost_themselves_and_are_in_the_verdict(tmp_path: Path, digest: str, cli) -> None:
    frame = loans.rows(600, seed=3, age=6)
    loans.log_labels(loans.answer(frame, digest), frame["label_true"])
    whole = run(tmp_path)
    names = break_log(settings(), "loans")
    found = run(tmp_path)
    for part in ("verdict", "drifted", "features", "predictions"):
        assert found[part] == whole[part]
    assert found["quality"]["metrics"] == whole["quality"]["metrics"]
    assert (whole["left_out"]["files"], found["left_out"]["files"], found["left_out"]["lines"]) == (0, 6, 0)
    assert sorted(each["file"] for each in found["left_out"]["named"]) == sorted(names)
    [note] = [note for note in found["notes"] if "6 files" in note]
    assert found["retraining"]["asked_for"] == "drift"
    assert note in cli("monitor", "loans", "--bundle", str(tmp_path / "bundle"), "--no-detailed").err
    metrics = exporter.exposition(exporter.collectors(settings(), lambda: {"loans": RolloutView().to_dict()})).decode()
    assert 'slipway_prediction_log_left_out_files{usecase="loans"} 6.0' in metrics


def test_a_log_of_broken_files_only_is_too_little_data_and_says_so(tmp_path: Path, digest: str) -> None:
    break_log(settings(), "loans")
    found = run(tmp_path)
    assert (found["verdict"], found["left_out"]["files"]) == ("too_little_data", 3)
    assert "3 files" in found["notes"][0]


@pytest.mark.parametrize(
    "features",
    [b"null", b"[1]", b'"x"', b'{"age":"old","visits":[1],"job":{"a":1},"member":"maybe"}', b'{"age":1e400}'],
)
def test_values_that_are_not_what_their_feature_is_now_are_missing_ones(
    tmp_path: Path, digest: str, features: bytes
) -> None:
    """As of an older version whose feature was of another kind."""
    loans.answer(loans.rows(600, seed=2), digest)
    [segment] = settings().spool.rglob("*.jsonl")
    lines = segment.read_bytes().splitlines()
    lines[:100] = [re.sub(rb'"features":\{.*?\}', b'"features":' + features, line) for line in lines[:100]]
    segment.write_bytes(b"\n".join(lines) + b"\n")
    found = run(tmp_path)
    assert (found["window"]["sampled"], found["left_out"]["files"]) == (600, 0)
    assert [test["name"] for test in found["features"]][:2] == ["age", "age"]
