"""Registration: one version however often it is requested, everything reachable from it, refusals with their reason."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import msgspec
import pytest
import yaml

from pipelines.artifacts import ChangePoint, LabelCounts, LabelReport, Provenance, RunPaths
from pipelines.artifacts.json_files import read_json
from pipelines.packaging import mlflow_run
from pipelines.steps.register import register
from slipway import audit
from slipway.clients.mlflow.registry import Registry
from slipway.config import load
from slipway.contracts.bundle import gate_report, signing
from slipway.errors import NotFound, RegistryError
from slipway.settings import settings
from tests.pipelines.runs import finished_run
from tests.support import bundles
from tests.support.servers import run_document, unique_name
from tests.support.signed import key_pair


@pytest.fixture
def name(tmp_path, monkeypatch):
    """A use case `loans` under a name of its own."""
    name = unique_name("loans")
    folder = tmp_path / "usecases" / name
    folder.mkdir(parents=True)
    features = [
        {"name": "age", "kind": "number"},
        {"name": "visits", "kind": "integer"},
        {"name": "job", "kind": "category"},
        {"name": "member", "kind": "boolean"},
    ]
    target = {"name": "risk", "classes": ["good", "bad"], "positive": "bad"}
    content = {"name": name, "owner": "tests", "description": "Loans.", "task": "binary", "features": features}
    source = {"generator": "data:load"}
    (folder / "usecase.yaml").write_text(yaml.safe_dump({**content, "target": target, "source": source}))
    monkeypatch.setenv("SLIPWAY_USECASES", str(folder.parent))
    settings.cache_clear()
    return name


@pytest.fixture
def registry(mlflow_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    return Registry()


@pytest.fixture
def finished(tmp_path):
    """`finished(key, passed=…)`: a run's directories up to its bundle, and its provenance."""

    def make(key: str = "a", passed: bool = True) -> tuple[RunPaths, Provenance]:
        return finished_run.write(tmp_path / "runs" / key, passed)

    return make


@pytest.fixture
def registered(name, finished, tmp_path):
    """`registered(key, passed=…)` registers and gives `result.json`."""

    def run(key: str = "a", passed: bool = True, paths=None) -> dict:
        paths, provenance = paths or finished(key, passed)
        out = tmp_path / f"register-{key}-{time.monotonic_ns()}"
        out.mkdir()
        register(load(name), paths, provenance, out)
        return read_json(out / "result.json")

    return run


def test_a_version_carries_its_tags_and_becomes_the_challenger(registry, registered, name):
    result = registered()
    assert (result["version"], result["gate"], result["already"]) == ("1", "passed", False)
    model, version = registry.model(name), registry.version(name, "1")
    assert model.aliases == {"challenger": "1"}
    assert model.tags["slipway.holdout_sha256"] == hashlib.sha256(b"holdout").hexdigest()
    assert version.tags["slipway.gate"] == "passed" and version.digest == result["digest"]
    assert version.tags["slipway.data_sha256"] == hashlib.sha256(b"snapshot").hexdigest()
    assert version.tags["slipway.git_commit"] == "0" * 40 and version.tags["slipway.synthetic"] == "true"


def test_the_run_says_of_which_labelled_rows_it_learned(registry, registered, name, finished, tmp_path):
    run, provenance = finished()
    run.production.mkdir()
    tables = {"production": b"rows", "window": b"newest"}
    for table, content in tables.items():
        (run.production / f"{table}.parquet").write_bytes(content)
    labels = LabelReport(
        cutoff="2026-03-02T00:00:00+00:00",
        environment="local",
        labelled=1000,
        left_out={"window": 200},
        callers_left_out=[],
        rows=LabelCounts(700, 200),
        since="2026-02-01T00:00:00+00:00",
        until="2026-03-01T23:00:00+00:00",
        versions={"1": 900},
        change=ChangePoint(at="2026-03-01T12:00:00+00:00", before=0.1, after=0.3, p=0.002, seen_by="1"),
        sha256={table: hashlib.sha256(content).hexdigest() for table, content in tables.items()},
    )
    labels.write(run.production)
    changed = msgspec.structs.replace(provenance, cutoff=labels.cutoff, production=labels)
    registered(paths=(run, changed))
    version = registry.version(name, "1")
    assert version.tags["slipway.cutoff"] == labels.cutoff
    logged = run_document(registry, version.run_id)["data"]
    assert {tag["key"]: tag["value"] for tag in logged["tags"]}["slipway.production_rows"] == "700"
    params = {param["key"]: param["value"] for param in logged["params"]}
    assert (params["production.rows"], params["production.window"]) == ("700", "200")
    assert params["production.change"] == labels.change.at and params["production.cutoff"] == labels.cutoff
    digests = {f"production/{digest}.parquet" for digest in labels.sha256.values()}
    assert set(registry.artifacts(version.run_id, "production")) == digests
    registry.fetch_artifact(version.run_id, "production.json", tmp_path / "production.json")
    assert LabelReport.read(tmp_path) == labels


def test_a_signature_is_stored_in_the_registry_and_fetched_with_the_bundle(
    registry, registered, name, finished, tmp_path, monkeypatch
):
    private, public = key_pair(tmp_path)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(private))
    monkeypatch.setenv("SLIPWAY_TRUSTED_KEYS", str(public))
    settings.cache_clear()
    run, provenance = finished()
    signing.sign(run.bundle / "bundle")
    registered(paths=(run, provenance))
    registry.fetch_bundle(registry.version(name, "1"), tmp_path / "fetched")
    signing.require(tmp_path / "fetched")


def test_the_server_can_fetch_what_was_registered(registry, registered, name, tmp_path):
    result = registered()
    assert (
        registry.fetch_bundle(registry.version(name, "1"), tmp_path / "fetched", serving_only=False) == result["digest"]
    )
    assert gate_report.read_gate_report(tmp_path / "fetched").passed


def test_everything_is_reached_from_the_run(registry, registered, name, tmp_path):
    run_id = registered()["run_id"]
    data, held = (hashlib.sha256(part).hexdigest() for part in (b"snapshot", b"holdout"))
    for path in (f"snapshot/{data}.parquet", f"holdout/{held}.parquet", "plots/roc.png", "data_docs/index.html"):
        registry.fetch_artifact(run_id, path, tmp_path / path)
    registry.fetch_artifact(run_id, "card.md", tmp_path / "card.md")
    run = run_document(registry, run_id)
    params = {item["key"]: item["value"] for item in run["data"]["params"]}
    metrics = {item["key"]: item["value"] for item in run["data"]["metrics"]}
    assert params["epochs"] == "2" and params["device"] == "cpu"
    assert (params["temperature"], params["params.temperature"]) == ("1.1", "3")
    assert {value for name, value in params.items() if name.startswith("rate ")} == {"5", "6"}
    assert (metrics["roc_auc"], metrics["roc_auc_low"], metrics["baseline_roc_auc"]) == (0.8, 0.75, 0.78)
    assert metrics["val_loss"] == 0.6 and "ece" not in metrics
    dataset = run["inputs"]["dataset_inputs"][0]["dataset"]
    assert dataset["name"].endswith("(synthetic)") and json.loads(dataset["profile"]) == {"num_rows": 40}
    assert run["info"]["status"] == "FINISHED"


def test_its_pages_show_signature_and_example(registry, registered, name, tmp_path):
    run_id = registered()["run_id"]
    model = yaml.safe_load(registry.fetch_artifact(run_id, "bundle/MLmodel", tmp_path / "MLmodel").read_text())
    inputs = {column["name"]: column for column in json.loads(model["signature"]["inputs"])}
    assert inputs["age"]["type"] == "double" and inputs["age"]["required"]
    assert inputs["visits"]["type"] == "long" and not inputs["visits"]["required"]
    assert [column["name"] for column in json.loads(model["signature"]["outputs"])] == ["label", "score"]
    example = json.loads(registry.fetch_artifact(run_id, "bundle/input_example.json", tmp_path / "e.json").read_text())
    assert example["instances"][0] == bundles.ROWS["loans"][0]


def test_registering_again_makes_no_second_version(registry, registered, name, finished):
    paths = finished()
    first, again = registered(paths=paths), registered(paths=paths)
    assert (again["version"], again["run_id"], again["already"]) == ("1", first["run_id"], True)
    assert len(registry.versions(name)) == 1


def test_a_run_killed_between_logging_and_version_leaves_one_of_each(registry, registered, name, finished, monkeypatch):
    paths = finished()
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.steps.register._require_model", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registered(paths=paths)
    with pytest.raises(NotFound):
        registry.model(name)
    result = registered(paths=paths)
    assert result["version"] == "1" and not result["already"]
    with mlflow_run.client(registry.uri) as mlflow:
        experiment = mlflow.get_experiment_by_name(name).experiment_id
        assert [run.info.run_id for run in mlflow.search_runs([experiment])] == [result["run_id"]]


def test_a_refused_version_says_why_and_gets_no_alias(registry, registered, name):
    result = registered(passed=False)
    assert result["gate"] == "refused" and "at least 0.7 is needed" in result["reasons"][0]
    version = registry.version(name, result["version"])
    assert version.tags["slipway.gate"] == "failed"
    assert "at least 0.7 is needed" in version.tags["slipway.gate_reason"]
    assert registry.model(name).aliases == {}


def test_a_waiver_is_a_tag_and_one_line_of_the_audit(registry, registered, name, finished):
    run, provenance = finished()
    path = run.bundle / "bundle" / "metrics.json"
    sentence = "Worse on the frozen holdout. Waived: the champion fell."
    waived = {"name": "champion", "figure": -0.1, "threshold": -0.02, "verdict": "waived", "sentence": sentence}
    path.write_text(json.dumps(read_json(path) | {"gates": [waived]}))
    result = registered(paths=(run, provenance))
    registered(paths=(run, provenance))
    version = registry.version(name, result["version"])
    assert version.tags["slipway.gate"] == "passed" and version.tags["slipway.gate_waived"] == sentence
    (line,) = audit.lines(name)
    assert (line.action, line.version, line.who) == ("gate.waived", version.version, "slipway train")
    assert line.why == sentence and line.evidence == waived


def test_a_newer_version_keeps_the_alias_and_the_first_holdout_stays(registry, registered, name, finished):
    old = finished("old")
    registered("old", paths=old)
    newer = registered("new")
    registry.set_model_tag(name, "slipway.holdout_sha256", "the first one")
    registered("old", paths=old)
    model = registry.model(name)
    assert model.aliases["challenger"] == newer["version"] == "2"
    assert model.tags["slipway.holdout_sha256"] == "the first one"


def test_an_unreachable_registry_is_reported_at_once(name, registered, tmp_path):
    started = time.monotonic()
    with pytest.raises(RegistryError, match="does not respond"):
        registered()
    assert time.monotonic() - started < 20
    assert not any(Path(out).name == "result.json" for out in tmp_path.rglob("register-*/*"))
