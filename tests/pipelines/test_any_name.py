"""A feature may have any name of the code's own: no table takes it for a column of ours, from training to retraining.

Two use cases have the same values: one under every name that the code gives to a column, and under odd ones, its twin
under names that mean nothing. All that is made of the two is the same.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.analysis import windows
from monitoring.analysis.comparison import compare_period
from pipelines.artifacts import RunPaths
from pipelines.runs.run import open_run
from pipelines.steps.collect_labels import collect_labels
from pipelines.steps.split import split
from pipelines.training import training
from slipway.config import UseCase
from slipway.contracts import columns
from slipway.contracts.bundle import manifest
from slipway.contracts.events.prediction_event import PREDICTION_COLUMNS
from slipway.inference import Predictor
from slipway.inference.instance_parser import InstanceParser
from slipway.prediction_log import Log
from slipway.settings import settings
from slipway.system.files import file_sha256
from tests.pipelines.labels.production_log import ProductionLog, at

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("pipelines", "monitoring/analysis", "slipway/contracts", "slipway/evaluation", "slipway/prediction_log")
KINDS = ("number", "integer", "category", "boolean")
TARGET, GROUP = "label_true", "split_group"
PARAMS = {
    "epochs": 8,
    "learning_rate": 0.001,
    "members": 1,
    "width": 8,
    "bins": 2,
    "frequencies": 1,
    "layers": 1,
    "number_width": 2,
}
RETRAINING = {"min_labelled_rows": 100, "window_rows": 100}
BEFORE, SINCE = 100, 350
UNTIL = datetime(2026, 4, 1, tzinfo=UTC)
_ALIAS = re.compile(r'\bAS "?([a-z_]+)"?')


def names_in_code() -> list[str]:
    """List what the code calls a column: indices, keywords of `assign`, names in SQL, and what follows a prefix."""
    found = {"self", "recent", "__index_level_0__", *(name.rpartition(".")[2] for name in PREDICTION_COLUMNS)}
    found |= {value.removeprefix(columns.OWN) for value in vars(columns).values() if isinstance(value, str)}
    for package in TABLES:
        for path in (ROOT / package).rglob("*.py"):
            found.update(_columns(ast.parse(path.read_text())))
    return sorted(name for name in found - {TARGET} if re.fullmatch(r"[a-z_][a-z0-9_]*", name))


def _columns(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            yield from (each.value for each in ast.walk(node.slice) if _is_text(each))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "assign":
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)
        elif _is_text(node):
            yield from _ALIAS.findall(node.value)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


ODD = ("Age", "age", "é", "e\u0301", "a=b", "1st", "%s", "a`b", "__proto__", "instances", "a\u200bb", "x" * 200)
NAMES = [*dict.fromkeys([*names_in_code(), *ODD])]


@dataclass(frozen=True)
class Naming:
    """Names of the features, in the order of NAMES, and of the target."""

    features: list[str]
    target: str

    @property
    def kinds(self) -> dict[str, str]:
        kinds = {name: KINDS[place % len(KINDS)] for place, name in enumerate(self.features)}
        return kinds | {self.group: "category"}

    @property
    def group(self) -> str:
        return self.features[NAMES.index(GROUP)]

    def usecase(self) -> dict[str, Any]:
        features = [{"name": name, "kind": kind} for name, kind in self.kinds.items()]
        target = {"name": self.target, "classes": ["no", "yes"], "positive": "yes"}
        return {"features": features, "target": target, "split": {"group": self.group}}

    def rows(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Draw rows: the same values under any names, of which each number tells of the target."""
        rng = np.random.default_rng(seed)
        risk = rng.normal(size=count)
        drawn = {
            "number": lambda: (50 + 9 * (risk + rng.normal(size=count))).round(2).tolist(),
            "integer": lambda: rng.integers(1, 90, count).tolist(),
            "category": lambda: rng.choice(["low", "middle", "high"], count).tolist(),
            "boolean": lambda: (rng.random(count) < 0.5).tolist(),
        }
        cells = {name: drawn[kind]() for name, kind in self.kinds.items()}
        cells[self.group] = [f"{seed}-{number}" for number in range(count)]
        return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


OURS = Naming(NAMES, TARGET)
TWIN = Naming([f"feature {place}" for place in range(len(NAMES))], "outcome")


@dataclass(frozen=True)
class Life:
    """What is left of one use case: its tables, under the names of the twin, and the results of its drift tests."""

    tables: dict[str, pd.DataFrame]
    drift: list[tuple[str, float, float]]
    quality: dict[str, float]


@pytest.fixture
def life(usecase, equally_fast, monkeypatch, tmp_path):
    """`life(naming)` trains, predicts, logs, labels, monitors, and makes the data of a retraining."""
    monkeypatch.setattr("pipelines.packaging.plots.draw_plots", lambda *_: None)
    monkeypatch.setattr("pipelines.training.validate", lambda *_, **__: None)  # seconds, for columns by name alone
    monkeypatch.setattr("pipelines.steps.export.LIMIT_ALONE", 1e-4)  # rounding, which is no matter of names
    monkeypatch.setenv("SLIPWAY_MASK_KEY", "k" * 32)

    def run(naming: Naming) -> Life:
        var = tmp_path / naming.target
        monkeypatch.setenv("SLIPWAY_VAR", str(var))
        settings.cache_clear()
        found = usecase(_labelled_rows(naming), **naming.usecase(), params=PARAMS, retraining=RETRAINING)
        with open_run(found, {}, register=False, fresh=False) as opened:
            training(found, opened, opened.step)
        log = _production(naming, opened.paths)
        period = windows.last_period(log, "orders", None, UNTIL)
        compared = compare_period(log, found, period, opened.paths.bundle / "bundle", period.since)
        drift = [(result.method, result.p_value, result.effect) for result in compared.results]
        quality = {name: score["value"] for name, score in compared.quality["metrics"].items()}
        return Life(_tables(naming, opened.paths, _retrain(found, opened.paths, var)), drift, quality)

    return run


def _labelled_rows(naming: Naming) -> pd.DataFrame:
    """Rows with a target that follows from the numbers."""
    frame = pd.DataFrame(naming.rows(400, seed=1))
    numbers = [name for name, kind in naming.kinds.items() if kind == "number"]
    return frame.assign(**{naming.target: np.where(frame[numbers].mean(axis=1) > 50, "yes", "no")})


def _production(naming: Naming, run: RunPaths) -> Log:
    """Predict rows, log the predictions, and label them: right at first, and wrong since the world has changed."""
    predictor = Predictor(run.bundle / "bundle", "cpu")
    body = json.dumps({"instances": naming.rows(BEFORE + SINCE, seed=2)}).encode()
    rows = InstanceParser(predictor.schema).request(body, BEFORE + SINCE).instances
    answers = [{"label": each.label, "score": each.score} for each in predictor.predict(rows)]
    log = ProductionLog(settings(), predictor.schema)
    ids = log.answered(rows, answers, digest=file_sha256(run.bundle / "bundle" / manifest.MANIFEST))
    other = {"yes": "no", "no": "yes"}
    truths = [each["label"] if place < BEFORE else other[each["label"]] for place, each in enumerate(answers)]
    log.labelled(ids, truths)
    return Log(settings())


def _retrain(usecase: UseCase, run: RunPaths, folder: Path) -> dict[str, Path]:
    """Make the data of a retraining: the rows of production, and the sides of the split with them."""
    baseline, produced, sides = (folder / name for name in ("baseline", "produced", "sides"))
    shutil.copytree(run.bundle, baseline)
    shutil.copyfile(run.split / "holdout.parquet", baseline / "holdout.parquet")
    produced.mkdir()
    sides.mkdir()
    collect_labels(usecase, run.clean, baseline, at(5e6), produced)
    split(usecase, run.clean, sides, frozen=baseline / "holdout.parquet", production=produced)
    return {"production": produced / "production.parquet", "window": produced / "window.parquet"} | {
        f"retraining {side}": sides / f"{side}.parquet" for side in ("train", "validation", "holdout")
    }


def _tables(naming: Naming, run: RunPaths, retraining: dict[str, Path]) -> dict[str, pd.DataFrame]:
    """Read all tables, without what follows from names or from the time."""
    paths = {
        "snapshot": run.ingest / "snapshot.parquet",
        "train": run.split / "train.parquet",
        "predictions": run.evaluate / "holdout_predictions.parquet",
        "reference": run.bundle / "bundle" / "monitor" / "reference.parquet",
    }
    twin = dict(zip([*naming.features, naming.target], [*TWIN.features, TWIN.target], strict=True))
    random = [columns.ROW_KEY, columns.ROW_ID, columns.SPLIT_GROUP]
    return {
        name: pd.read_parquet(path)
        .rename(columns=twin if name != "predictions" else {})
        .drop(columns=random, errors="ignore")
        for name, path in (paths | retraining).items()
    }


@pytest.mark.slow
def test_names_of_the_code_mean_nothing_in_features(life):
    ours, twin = life(OURS), life(TWIN)
    for name, table in twin.tables.items():
        pd.testing.assert_frame_equal(ours.tables[name], table, obj=name)
    assert ours.drift == twin.drift
    assert ours.quality == pytest.approx(twin.quality), "the order of the sample is random"
    assert twin.tables["retraining train"][columns.WEIGHT].nunique() == 2, "rows from before the change weigh less"
