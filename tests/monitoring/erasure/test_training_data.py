"""Versions are named by the tables that have the subject, and pages of verdicts in MLflow are replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from monitoring.erasure.reports import REMOVED, erase_reports
from monitoring.erasure.subject import Subject, Traces
from monitoring.erasure.training_data import HAS, MAY_HAVE, TrainedOn, TrainingData
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.columns import ROW_ID, ROW_KEY
from slipway.contracts.registry_names import ENVIRONMENT, monitor_experiment
from slipway.errors import RegistryError
from slipway.settings import Settings, settings
from tests.conftest import NOWHERE
from tests.support import bundles
from tests.support.prediction_log.subjects import KEY
from tests.support.prediction_log.subjects import ROW_KEY as SUBJECTS_ROW_KEY
from tests.support.servers import publish, unique_name

TRACES = Traces(rows={"row-0"}, row_keys={SUBJECTS_ROW_KEY})


@pytest.fixture
def registry(mlflow_server: str, config: Settings, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Provide a registry, which the settings of the test name."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    return Registry(mlflow_server)


def table(folder: Path, name: str, **columns: list[object]) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_parquet(path)
    return path


def test_versions_are_named_with_the_tables_that_have_the_subject(registry: Registry, tmp_path: Path) -> None:
    name = unique_name("loans")
    tables = {
        "snapshot/keyed.parquet": table(tmp_path, "keyed", **{ROW_KEY: [SUBJECTS_ROW_KEY, "f" * 32], "age": [1, 2]}),
        "holdout/other.parquet": table(tmp_path, "other", **{ROW_KEY: ["f" * 32], "age": [1]}),
        "holdout/earlier.parquet": table(tmp_path, "earlier", row_key=[SUBJECTS_ROW_KEY], age=[1]),
        "production/rows.parquet": table(tmp_path, "rows", **{ROW_ID: ["row-0"], ROW_KEY: ["e" * 32]}),
        "snapshot/bare.parquet": table(tmp_path, "bare", age=[1]),
    }
    contents = (
        ["snapshot/keyed.parquet", "holdout/other.parquet"],
        ["snapshot/bare.parquet", "production/rows.parquet", "holdout/earlier.parquet"],
        ["holdout/other.parquet"],
    )
    for number, chosen in enumerate(contents):
        bundles.write(tmp_path / f"bundle-{number}", bias=float(number))
        publish(registry.uri, name, tmp_path / f"bundle-{number}", artifacts={each: tables[each] for each in chosen})
    registry.set_alias(name, "champion", "1")
    found = TrainingData(settings(), Subject(name, "key", KEY), TRACES).versions()
    second = {"snapshot/bare.parquet": MAY_HAVE, "holdout/earlier.parquet": HAS, "production/rows.parquet": HAS}
    assert found == [TrainedOn("2", [], second), TrainedOn("1", ["champion"], {"snapshot/keyed.parquet": HAS})]
    assert all(each.is_certain for each in found)


def test_a_model_that_was_never_registered_has_no_versions(registry: Registry) -> None:
    assert TrainingData(settings(), Subject(unique_name("loans"), "key", KEY), TRACES).versions() == []


def test_runs_on_this_machine_are_named(config: Settings) -> None:
    table(config.runs, "key-1/production/production.parquet", **{ROW_ID: ["row-0"]})
    table(config.runs, "key-2/production/production.parquet", **{ROW_ID: ["row-1"]})
    table(config.runs, "key-3/clean/cleaned.parquet", age=[1])
    assert TrainingData(config, Subject("loans", "key", KEY), TRACES).runs() == [str(config.runs / "key-1")]


def test_a_registry_that_does_not_answer_is_an_error_and_the_erasure_goes_on_later(
    config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RegistryError):
        named = config.model_copy(update={"mlflow_tracking_uri": NOWHERE})
        TrainingData(named, Subject("loans", "key", KEY), TRACES).versions()


def test_pages_of_verdicts_in_mlflow_are_replaced(registry: Registry) -> None:
    name = unique_name("loans")
    experiment = registry.create_experiment(monitor_experiment(name))
    window = {"since": "2026-03-01T00:00:00.000Z", "until": "2026-03-02T00:00:00.000Z"}
    uris = {}
    for environment in (settings().environment, "staging"):
        run = registry.create_run(experiment, "20260302", {ENVIRONMENT: environment}).info
        uris[environment] = run.artifact_uri
        registry.put_artifact(run.artifact_uri, "20260302.json", json.dumps({"window": window}).encode())
        registry.put_artifact(run.artifact_uri, "20260302.html", b"a page")
    assert erase_reports(settings(), name, {"2026-02-28"}) == []
    assert erase_reports(settings(), name, {"2026-03-01"}) == ["20260302.html"]
    pages = {environment: registry.small_artifact(uri, "20260302.html") for environment, uri in uris.items()}
    assert pages == {settings().environment: REMOVED, "staging": b"a page"}
