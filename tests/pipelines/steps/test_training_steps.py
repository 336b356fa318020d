"""Train, evaluate and bundle on real steps' directories: what each leaves, and that they agree with one another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import yaml

from pipelines.artifacts import (
    AddedLabels,
    BundleFacts,
    ChangePoint,
    DataSource,
    Disagreement,
    GatedReport,
    LabelCounts,
    LabelReport,
    Provenance,
)
from pipelines.artifacts.json_files import read_json
from pipelines.data.dataset import encode_rows, read_side
from pipelines.packaging.model_card import render_card
from pipelines.steps import train
from pipelines.steps.bundle import bundle
from pipelines.steps.clean import clean
from pipelines.steps.evaluate import evaluate
from pipelines.steps.export import export, measure_parity
from pipelines.steps.gate import gate
from pipelines.steps.ingest import ingest
from pipelines.steps.split import split
from slipway.config import UseCase, load
from slipway.contracts import columns
from slipway.contracts.bundle import gate_report, signing
from slipway.contracts.bundle import manifest as bundles
from slipway.contracts.schema import Schema
from slipway.errors import BundleError, DataError
from slipway.inference import Predictor, rows_from_frame
from slipway.settings import settings
from slipway.system.files import file_sha256
from tests.support.signed import key_pair

pytestmark = pytest.mark.slow

PARAMS = {"epochs": 4, "members": 2, "width": 16, "learning_rate": 0.003}


@dataclass(frozen=True)
class Steps:
    usecase: UseCase
    split: Path
    train: Path
    evaluate: Path
    export: Path
    gate: Path
    bundle: Path


@pytest.fixture(scope="module", params=["binary", "regression"])
def steps(request, tmp_path_factory):
    """One quick training of people's incomes, as classes and as a number."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_VAR", str(folder / "var"))
        patch.setenv("SLIPWAY_USECASES", str(folder / "usecases"))
        patch.setenv("SLIPWAY_SIGNING_KEY", str(key_pair(folder)[0]))
        patch.setattr("slipway.evaluation.bootstrap._WORK", 0)  # the fewest resamples
        settings.cache_clear()
        yield _run(_usecase(folder, request.param), folder)
    settings.cache_clear()


def _people() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    hours, school = rng.normal(38, 9, 400).round(1), rng.choice(["primary", "secondary", "degree"], 400)
    income = 400 * hours + 8000 * (school == "degree") + rng.normal(0, 2000, 400)
    hours[::20] = np.nan
    return pd.DataFrame(
        {
            "hours": hours,
            "school": school,
            "age": np.arange(400) % 97,
            "name": [f"p{n}" for n in range(400)],
            "income": income,
        }
    )


def _usecase(folder: Path, task: str) -> UseCase:
    frame = _people()
    target: dict = {"name": "income", "unit": "EUR"}
    if task == "binary":
        frame["income"] = np.where(frame["income"] > 18_000, "high", "low")
        cost = {"false_negative": 3, "false_positive": 1}
        target = {"name": "income", "classes": ["low", "high"], "positive": "high", "cost": cost}
    frame.to_csv(folder / "people.csv", index=False)
    content = {
        "name": "people",
        "owner": "tests",
        "description": "What people earn.",
        "task": task,
        "source": {"path": str(folder / "people.csv")},
        "features": [
            {"name": "hours", "kind": "number", "nullable": True, "unit": "h"},
            {"name": "school", "kind": "category"},
            {"name": "age", "kind": "integer"},
            {"name": "name", "kind": "category", "private": "token"},
        ],
        "target": target,
        "params": PARAMS,
        "gates": {
            "slices": [{"feature": "school"}, {"feature": "hours"}],
            "min_slice_rows": 10,
            "invariant": ["name"],
            "directions": {"hours": "up"},
        },
    }
    (folder / "usecases" / "people").mkdir(parents=True)
    (folder / "usecases" / "people" / "usecase.yaml").write_text(yaml.safe_dump(content))
    return load("people")


def _run(usecase: UseCase, folder: Path) -> Steps:
    def step(function, *args, **kwargs) -> Path:
        out = folder / function.__name__
        out.mkdir()
        function(*args, **kwargs, out=out)
        return out

    sides = step(split, usecase, step(clean, usecase, step(ingest, usecase)))
    trained = step(train.train, usecase, sides)
    evaluated = step(evaluate, usecase, sides, trained)
    exported = step(export, usecase, sides, trained)
    gated = step(gate, usecase, sides, exported, evaluated)
    bundled = step(bundle, usecase, _provenance(folder), sides, trained, evaluated, exported, gated)
    return Steps(usecase, sides, trained, evaluated, exported, gated, bundled)


def _provenance(folder: Path) -> Provenance:
    return Provenance(
        usecase="people",
        run_key="cd" * 32,
        attempt=1,
        created="2026-01-31T12:00:00.000000+00:00",
        cutoff=None,
        seed=7,
        overrides={},
        source=DataSource.read(folder / "ingest"),
        synthetic=False,
        data_sha256="ab" * 32,
        holdout_sha256="ef" * 32,
        champion=None,
        production=None,
        code_sha256="c" * 64,
        lock_sha256=None,
        git_commit="0" * 40,
        git_dirty=False,
    )


def test_training_records_how_it_was_done(steps):
    result = read_json(steps.train / "training.json")
    assert result["device"] in ("cpu", "gpu") and result["devices"]
    assert result["params"]["epochs"] == 4 and result["params"]["batch_size"] == 32
    assert 1 <= result["best_epoch"] <= result["epochs"] <= 4
    history = read_json(steps.train / "history.json")
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(history, result["epochs"])


def test_threshold_and_temperature_follow_from_costs_and_validation(steps):
    result, schema = read_json(steps.train / "training.json"), Schema.load(steps.train / "schema.json")
    if steps.usecase.task == "regression":
        assert result["temperature"] is None and schema.threshold is None
        return
    assert schema.threshold == result["threshold"] == 0.25
    losses = result["validation_log_loss"]
    assert losses["calibrated"] <= losses["uncalibrated"] + 1e-9


def test_scores_have_intervals_slices_and_a_linear_baseline(steps):
    result = read_json(steps.evaluate / "metrics.json")
    for score in result["scores"].values():
        assert score["low"] <= score["value"] <= score["high"]
    assert {part["value"] for part in result["slices"] if part["feature"] == "school"} == {
        "primary",
        "secondary",
        "degree",
    }
    assert "missing" in {part["value"] for part in result["slices"] if part["feature"] == "hours"}
    assert result["baseline"]["name"] in ("LogisticRegression", "Ridge") and result["baseline"]["value"] > 0.5


def test_a_feature_newer_than_the_frozen_holdout_is_missing_in_it(steps, tmp_path):
    older, schema = tmp_path / "split", Schema.load(steps.train / "schema.json")
    older.mkdir()
    pd.read_parquet(steps.split / "holdout.parquet").drop(columns="age").to_parquet(older / "holdout.parquet")
    frame = read_side(older, "holdout", schema)
    assert frame["age"].isna().all()
    assert np.isnan(encode_rows(frame, schema).features["numbers"][:, 1]).all()


def test_people_get_pictures(steps):
    found = {path.stem for path in (steps.evaluate / "plots").glob("*.png") if path.stat().st_size > 5000}
    if steps.usecase.task == "regression":
        assert found == {"training_curves", "predicted_against_true"}
    else:
        assert found == {"training_curves", "confusion_matrix", "reliability", "roc"}


def test_the_bundle_predicts_as_the_evaluated_network(steps):
    predictor = Predictor(steps.bundle / "bundle", "cpu")
    predictions = pd.read_parquet(steps.evaluate / "holdout_predictions.parquet")
    rows = rows_from_frame(predictor.schema, pd.read_parquet(steps.split / "holdout.parquet"))
    column = "value" if steps.usecase.task == "regression" else "score"
    answers = [getattr(answer, column) for answer in predictor.predict(rows)]
    scale = predictions[column].abs().max()
    assert np.abs(np.array(answers) - predictions[column]).max() <= 1e-5 * scale
    result = read_json(steps.export / "parity.json")
    assert result["keras"] <= result["keras_limit"] == 1e-5 and result["alone"] <= result["alone_limit"] == 1e-6


def test_the_gates_test_the_exported_network_itself(steps):
    assert file_sha256(steps.export / "serve" / "model.onnx") == file_sha256(
        steps.bundle / "bundle" / "serve" / "model.onnx"
    )
    found = {gate.name: gate for gate in gate_report.read_gate_report(steps.bundle / "bundle").gates}
    expected = {
        f"robustness:{kind}:{what}" for kind in ("numbers", "missing", "other") for what in ("score", "decisions")
    }
    assert expected | {"champion", "size", "latency", "invariance:name", "direction:hours"} <= set(found)
    assert found["robustness:numbers:score"].verdict == found["invariance:name"].verdict == "passed"


def test_a_network_against_itself_is_no_better_and_as_fast(steps, request, tmp_path):
    if steps.usecase.task == "regression":
        request.getfixturevalue("equally_fast")  # servers of classes are measured, and know of no difference
    references = {"champion": steps.bundle / "bundle", "window": steps.split / "validation.parquet"}
    gate(steps.usecase, steps.split, steps.export, steps.evaluate, tmp_path, **references)
    found = {gate.name: gate for gate in gate_report.read_gate_report(tmp_path).gates}
    assert found["champion"].verdict == found["compatible"].verdict == "passed"
    assert found["window"].verdict == "failed" and found["window"].figure == 0
    assert found["latency"].verdict == "passed" and "the champion's, measured in turn" in found["latency"].sentence


def test_the_manifest_says_what_made_it(steps):
    manifest = bundles.verify(steps.bundle / "bundle")
    assert manifest.facts["git_commit"] == "0" * 40 and manifest.facts["data_sha256"] == "ab" * 32
    assert manifest.facts["libraries"]["tensorflow"]
    assert manifest.facts["model_keras_sha256"] == file_sha256(steps.train / "model.keras")
    assert gate_report.read_gate_report(steps.bundle / "bundle").gates


def test_the_bundle_is_signed_where_a_key_is_set(steps, monkeypatch):
    monkeypatch.setenv("SLIPWAY_TRUSTED_KEYS", str(steps.bundle.parent / "key.pub.pem"))
    settings.cache_clear()
    signing.require(steps.bundle / "bundle")


def test_the_reference_is_of_rows_that_were_not_trained_on_and_holds_no_keys(steps):
    frame = pd.read_parquet(steps.bundle / "bundle" / "monitor" / "reference.parquet")
    counts = read_json(steps.split / "split.json")["counts"]
    assert frame[columns.SIDE].value_counts().to_dict() == {side: counts[side] for side in ("validation", "holdout")}
    assert not {columns.ROW_KEY, columns.SPLIT_BUCKET} & set(frame)
    predicted = {f"prediction.{name}" for name in columns.prediction_columns(steps.usecase.task)}
    assert predicted | {"hours", "school", "age", "name", columns.SIDE} == set(frame)


def test_thresholds_pin_a_method_for_every_column(steps):
    result = json.loads((steps.bundle / "bundle" / "monitor" / "thresholds.json").read_text())
    assert result["features"]["hours"]["method"] == "ks" and result["features"]["school"]["method"] == "chi2"
    assert result["significance"] == 0.05
    assert any(name.startswith("prediction.") for name in result["features"])


def test_the_card_tells_what_a_person_must_know(steps):
    written = (steps.bundle / "bundle" / "card.md").read_text()
    assert written.startswith("# people\n\nWhat people earn.")
    for part in ("## Data", "## Scores", "## Slices", "## Gates", "## Limits", "## Made from", "same inputs and rows"):
        assert part in written
    assert "ynthetic" not in written


def test_the_card_and_the_report_compare_with_a_trivial_and_a_linear_model(steps):
    report, written = GatedReport.read(steps.gate), (steps.bundle / "bundle" / "card.md").read_text()
    assert report.trivial.value < report.baseline.value and report.trivial.difference.low > 0
    assert "of always predicting the" in written and "The features tell something about the target" in written
    gates = {gate.name: gate.verdict for gate in report.gates}
    assert ("baseline:trivial" in gates) == (not steps.usecase.gates.absolute)
    if steps.usecase.task == "binary":
        assert {"precision", "recall"} <= report.scores.keys() and "| precision | the share of rows" in written


def test_the_card_tells_of_labelled_predictions_that_were_learned_from(steps):
    schema, report = Schema.load(steps.train / "schema.json"), GatedReport.read(steps.gate)
    facts = msgspec.convert(bundles.read_manifest(steps.bundle / "bundle").facts, BundleFacts)
    labels = LabelReport(
        cutoff="2026-03-02",
        environment="local",
        labelled=8000,
        left_out={},
        callers_left_out=[
            Disagreement(caller="x", rows=99, rate=0.9, others=0.1, p=0.001, sentence="Caller x disagrees.")
        ],
        rows=LabelCounts(7000, 200),
        versions={"3": 6000, "4": 1000},
        change=ChangePoint(at="2026-03-01", before=0.1, after=0.3, p=0.002, seen_by="4"),
    )

    def card(weight: float | None) -> str:
        joined = AddedLabels(train=5000, validation=2000, weight_before_change=weight)
        known = msgspec.structs.replace(facts, production=msgspec.structs.replace(labels, joined=joined))
        return render_card(steps.usecase, schema, report, known)

    assert "7,000 of them are predictions of version 3, 4 that were labelled by 2026-03-02" in card(0.05)
    assert "Version 4 predicts worse since 2026-03-01: rows from before have the weight 0.05." in card(0.05)
    assert "Caller x disagrees." in card(0.05)
    assert "all rows have the same weight yet" in card(None)


def test_an_export_that_differs_fails_the_run(steps):
    schema = Schema.load(steps.train / "schema.json")
    rows = rows_from_frame(schema, pd.read_parquet(steps.split / "validation.parquet")[:20])
    predictor = Predictor(steps.bundle / "bundle", "cpu")

    class Other:
        def predict(self, feeds, **_):
            return predictor.run(feeds) + np.float32(0.5)

    with pytest.raises(BundleError, match="differs by 0.5 from Keras"):
        measure_parity(Other(), predictor, rows, scale=1.0)


def test_a_loss_that_explodes_is_an_error_and_no_model(steps, tmp_path):
    mad = steps.usecase.model_copy(update={"params": {**PARAMS, "learning_rate": 1e30}})
    with pytest.raises(DataError, match="smaller learning_rate"):
        train.train(mad, steps.split, tmp_path)
    assert not list(tmp_path.iterdir())
