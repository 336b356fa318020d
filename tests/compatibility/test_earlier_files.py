"""Files that were written before the packages were laid out anew (commit 847950b) are still read.

Bundle, prediction log, serving state, responses of the registry, audit, verdicts and usecase.yaml: data/README.md.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.follower.desired_versions import desired_versions
from bentos.models import load
from monitoring.analysis import verdict
from monitoring.governance.history import readable_lines
from slipway import config
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.bundle import admission, gate_report, manifest
from slipway.contracts.registry_names import CANARY, CHALLENGER, CHAMPION, CUTOFF, GATE, RUN_KEY, SHADOW
from slipway.contracts.schema import RowKeyer, Schema
from slipway.inference import Predictor
from slipway.prediction_log import Log
from slipway.serving_state import desired, follower_status, observed
from slipway.settings import Settings, settings
from slipway.system import locks
from tests.support.doubles.http_double import Answer, HttpDouble

DATA = Path(__file__).parent / "data"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())
BUNDLE, DIGEST = DATA / "bundle", EXPECTED["digest"]
USECASE = "loans"


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A copy of the state folder, with the settings that lead to it."""
    shutil.copytree(DATA / "home", tmp_path / "var")
    monkeypatch.setenv("SLIPWAY_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("SLIPWAY_USECASES", str(DATA / "usecases"))
    settings.cache_clear()
    return settings()


class RecordedMlflow(HttpDouble):
    """MLflow with the responses that were recorded of it."""

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        names = {"registered-models/get": "registered_model", "model-versions/search": "model_versions"}
        route = path.partition("/mlflow/")[2]
        return (DATA / "registry" / f"{names.get(route, 'run_1')}.json").read_bytes()


@pytest.fixture
def registry() -> Iterator[Registry]:
    with RecordedMlflow() as mlflow:
        yield Registry(mlflow.uri)


def test_a_bundle_is_verified_and_predicts_as_before():
    manifest.verify(BUNDLE, DIGEST)
    report = gate_report.require_passed(gate_report.read_gate_report(BUNDLE))
    assert {gate.verdict for gate in report.gates} == {"passed"}
    predictions = Predictor(BUNDLE, "cpu").predict(EXPECTED["rows"])
    for prediction, expected in zip(predictions, EXPECTED["predictions"], strict=True):
        assert prediction.label == expected["label"]
        assert prediction.score == pytest.approx(expected["score"], abs=1e-6)
        assert prediction.probabilities == pytest.approx(expected["probabilities"], abs=1e-6)


def test_rows_keep_their_keys_and_their_side_of_the_split():
    keyer = RowKeyer(Schema.load(BUNDLE / "serve" / "schema.json"))
    secret = bytes.fromhex(EXPECTED["mask_key"])
    found = [keyer.of_row(secret, row) for row in EXPECTED["rows"]]
    assert [key.decode() for key, _ in found] == EXPECTED["row_keys"]
    assert [bucket for _, bucket in found] == EXPECTED["buckets"]


def test_a_bundle_in_the_store_is_loaded_by_a_worker(tmp_path):
    directory = tmp_path / DIGEST
    shutil.copytree(BUNDLE, directory)
    shutil.copy(DATA / "stored_version.json", directory / "version.json")
    stored = desired.stored_version(directory)
    assert stored is not None
    assert (stored.name, stored.version, stored.digest) == (USECASE, "1", DIGEST)
    admission.require_servable(directory, stored)
    loaded = load(directory, USECASE, digest=DIGEST, device="cpu")
    assert (loaded.version, loaded.digest, loaded.schema.usecase) == ("1", DIGEST, USECASE)


def test_the_prediction_log_has_shipped_and_spooled_predictions_with_their_labels(earlier):
    log = Log(earlier)
    predictions, labelled = log.predictions(USECASE), log.labelled(USECASE)
    [(count, score)] = predictions.aggregate('count(*), sum("slipway.score")').fetchall()
    assert (count, round(score, 6)) == (EXPECTED["predictions_logged"], EXPECTED["score_sum"])
    assert log.feedback(USECASE).aggregate("count(*)").fetchall() == [(EXPECTED["feedback"],)]
    assert labelled.aggregate("count(*)").fetchall() == [(EXPECTED["labelled"],)]
    assert labelled.filter("label_true = 'bad'").aggregate("count(*)").fetchall() == [(EXPECTED["labelled_bad"],)]
    assert log.shipped(USECASE) == EXPECTED["shipped_files"]


def test_the_desired_state_is_read():
    serving = DATA / "home" / "serving"
    assert desired.read(serving, USECASE) == desired.DesiredState(generation=3, champion=DIGEST)
    canary = desired.Canary("b" * 64, 12.5)
    assert desired.read(DATA / "rollout", USECASE) == desired.DesiredState(7, "a" * 64, canary, "c" * 64)


def test_refusals_and_the_status_of_the_follower_are_read(earlier):
    serving = earlier.var / "serving"
    refusal = follower_status.read_refusals(serving, USECASE)["3"]
    assert (refusal.alias, refusal.version) == (SHADOW, "3")
    assert "the registry says " + "f" * 64 in refusal.reason
    status = follower_status.read_status(serving, USECASE)
    assert status is not None and status.topics == {}


def test_the_state_of_a_worker_is_read(earlier):
    serving = earlier.var / "serving"
    [state] = (serving / USECASE / "state").glob("*.json")
    with locks.exclusive(state.with_suffix(".lock")):
        [worker] = observed.read(serving, USECASE)
    assert (worker.version, worker.serving, worker.roles[CHAMPION].digest) == ("1", DIGEST, DIGEST)


def test_the_registry_is_read(registry):
    model = registry.model(USECASE)
    assert model.aliases == {CHAMPION: "1", CANARY: "2", CHALLENGER: "2", SHADOW: "3"}
    versions = {version.version: version for version in registry.versions(USECASE)}
    assert versions["1"].digest == DIGEST
    assert versions["1"].tags[GATE] == "passed"
    assert versions["1"].tags.keys() >= {RUN_KEY, CUTOFF}
    wanted = desired_versions(model, CHAMPION)
    assert (wanted.champion, wanted.shadow) == ("1", "3")
    assert registry.run(versions["1"].run_id).info.run_id == versions["1"].run_id


def test_the_audit_is_read(earlier):
    lines, problems = readable_lines(USECASE, earlier)
    assert problems == []
    moves = [(line.version, line.evidence["alias"]) for line in lines]
    assert moves == [("1", CHAMPION), ("2", CHAMPION), ("1", CHAMPION), ("2", CANARY)]
    assert {line.action for line in lines} == {"promoted"}


def test_the_latest_verdict_is_read(earlier):
    latest = verdict.latest(earlier, USECASE)
    assert latest is not None
    assert (latest["verdict"], latest["window"]["rows"]) == ("none", 100)


def test_a_usecase_yaml_is_read(earlier):
    usecase = config.load(USECASE)
    assert [feature.name for feature in usecase.features] == ["age", "visits", "job", "member", "email"]
    assert (usecase.target.positive, usecase.canary.stages) == ("bad", [5, 50, 100])
