"""Conformance of every folder in `usecases/`: one suite, so that a new use case is tested without further code."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.artifacts.json_files import read_json
from slipway.config import UseCase, load
from slipway.contracts import columns
from slipway.contracts.bundle import gate_report, manifest
from slipway.inference import Predictor, rows_from_frame
from slipway.inference.instance_parser import InstanceParser
from tests.support import one_epoch

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.parent.name for path in (ROOT / "usecases").glob("*/usecase.yaml"))
ROOMS = ("slipway", "pipelines", "bentos", "monitoring")


@dataclass(frozen=True)
class Trained:
    """Run the quick loop of one epoch of a use case."""

    usecase: UseCase
    root: Path

    @property
    def bundle(self) -> Path:
        return self.root / "bundle" / "bundle"


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(*one_epoch.trained_once(tmp_path_factory, request.param))


@pytest.mark.parametrize("name", NAMES)
def test_it_describes_itself(name):
    usecase, folder = load(name), ROOT / "usecases" / name
    assert usecase.owner and usecase.description.endswith(".")
    readme = (folder / "README.md").read_text()
    assert readme.startswith(f"# {name}\n") and "**Data.**" in readme
    assert usecase.gates.absolute, "a first version needs a bound that it must reach"


@pytest.mark.slow  # it imports Prefect
@pytest.mark.parametrize("name", NAMES)
def test_it_is_scheduled_by_lines_that_cron_reads(name):
    from prefect.client.schemas.schedules import CronSchedule

    schedule = load(name).schedule
    assert all(CronSchedule(cron=line) for line in (schedule.train, schedule.monitor) if line)


@pytest.mark.parametrize("name", NAMES)
def test_its_code_imports_no_package_but_slipway(name):
    for path in (ROOT / "usecases" / name).glob("*.py"):
        assert not _imported(path) & {"pipelines", "bentos", "monitoring"}, path


@pytest.mark.parametrize("name", NAMES)
def test_no_package_mentions_it_by_name(name):
    paths = [path for package in ROOMS for path in (ROOT / package).rglob("*.py")]
    assert paths
    naming = [path for path in paths if name in _strings(path)]
    assert not naming, "what is true of one use case belongs into its folder"


def test_its_data_pass_their_own_expectations(trained):
    result = read_json(trained.root / "validate" / "result.json")
    assert result["passed"] and not result["warnings"]


def test_its_splits_share_no_row(trained):
    result = read_json(trained.root / "split" / "split.json")
    assert set(result["leaks"].values()) == {0}
    assert result["counts"]["holdout"] >= 100


def test_one_epoch_ends_in_a_complete_bundle(trained):
    manifest.verify(trained.bundle)
    assert gate_report.read_gate_report(trained.bundle).gates
    assert read_json(trained.root / "export" / "parity.json")


def test_a_row_is_answered_alike_alone_and_in_a_batch(trained):
    predictor = Predictor(trained.bundle)
    frame = pd.read_parquet(trained.root / "split" / "holdout.parquet")[:100]
    rows = rows_from_frame(predictor.schema, frame)
    together = predictor.run(predictor.encode(rows))
    alone = np.concatenate([predictor.run(predictor.encode([row])) for row in rows])
    assert np.abs(together - alone).max() <= 1e-6
    assert [p.label for p in predictor.decode(together)] == [p.label for p in predictor.decode(alone)]


def test_its_probe_is_a_request_that_the_server_accepts(trained):
    predictor = Predictor(trained.bundle)
    body = json.dumps({"instances": predictor.probe["rows"][:5]}).encode()
    assert len(InstanceParser(predictor.schema).request(body, 10).instances) == 5
    outputs = predictor.run(predictor.encode(predictor.probe_rows()))
    assert np.abs(outputs - np.array(predictor.probe["outputs"], np.float32)).max() <= 1e-5


def test_its_bundle_contains_no_private_values(trained):
    reference = pd.read_parquet(trained.bundle / "monitor" / "reference.parquet")
    probe = read_json(trained.bundle / "serve" / "probe.json")
    assert not {columns.ROW_KEY, columns.SPLIT_BUCKET, "key"} & set(reference.columns)
    for feature in trained.usecase.features:
        if feature.private == "drop":
            assert feature.name not in reference and not any(feature.name in row for row in probe["rows"])
        elif feature.private == "token" and feature.name in reference:
            assert reference[feature.name].dropna().str.startswith("tok_").all()


def test_synthetic_data_are_marked_as_synthetic(trained):
    synthetic = read_json(trained.root / "ingest" / "source.json")["synthetic"]
    assert Predictor(trained.bundle).schema.synthetic is synthetic
    assert ("synthetic" in (trained.bundle / "card.md").read_text().lower()) is synthetic


def _imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def _strings(path: Path) -> set[str]:
    return {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
