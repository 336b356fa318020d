"""A world that turns its rule round: what is trained on labelled production is right there, and the champion is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.artifacts.json_files import read_json
from pipelines.data.dataset import encode_rows, read_side
from pipelines.labels.change_point import losses
from pipelines.modeling import networks
from pipelines.packaging.monitoring_reference import reference_rows
from pipelines.steps.clean import clean
from pipelines.steps.collect_labels import collect_labels
from pipelines.steps.ingest import ingest
from pipelines.steps.split import split
from pipelines.steps.train import train
from slipway.config.schema_builder import from_usecase
from slipway.contracts import columns
from slipway.contracts.bundle import manifest
from slipway.contracts.schema import Schema, mask
from slipway.inference import Predictor
from slipway.settings import settings
from slipway.system import files
from tests.pipelines.labels.production_log import START, ProductionLog
from tests.support import bundles

PARAMS = {"epochs": 15, "members": 1, "width": 32, "bins": 4, "frequencies": 2, "learning_rate": 0.02}
RETRAINING = {"min_labelled_rows": 300, "window_rows": 200}
OLD, NEW = 400, 1100
OTHER = {"yes": "no", "no": "yes"}


def order_rows(rows: int) -> list[dict]:
    rng = np.random.default_rng(8)
    return [
        {
            "amount": round(float(rng.uniform(1, 900)), 2),
            "items": int(rng.integers(1, 9)),
            "country": str(rng.choice(["de", "fr", "it"])),
            "gift": bool(rng.integers(2)),
            "age": int(rng.integers(18, 90)),
        }
        for _ in range(rows)
    ]


@pytest.fixture
def found(usecase, orders):
    return usecase(orders, params=PARAMS, retraining=RETRAINING)


@pytest.fixture
def baseline(found, step, monkeypatch, tmp_path):
    """A champion that is right in the old world, and the holdout of that time."""
    schema = from_usecase(found)
    rows = [mask(row, schema, settings().mask_secret()) for row in order_rows(3)]
    monkeypatch.setitem(bundles.ROWS, "orders", rows)
    cleaned = step(clean, found, step(ingest, found))
    sides = step(split, found, cleaned)
    folder = tmp_path / "baseline"
    bundles.write(folder / "bundle", Schema.load(sides / "schema.json"), bias=1.5)
    champion = Predictor(folder / "bundle", "cpu")
    holdout = read_side(sides, "holdout", champion.schema)
    holdout.assign(returned=predicted_labels(champion, holdout)).to_parquet(folder / "holdout.parquet")
    return cleaned, folder, champion


def predicted_labels(champion: Predictor, frame: pd.DataFrame) -> np.ndarray:
    """Predict labels with the champion: the truth before the change."""
    return np.where(losses(champion, frame.assign(returned="yes")) < 0.25, "yes", "no").astype(object)


@pytest.mark.slow
def test_after_a_change_the_new_rule_is_learned(found, baseline, step):
    cleaned, folder, champion = baseline
    rows = order_rows(OLD + NEW)
    truth = predicted_labels(
        champion, pd.DataFrame([mask(row, champion.schema, settings().mask_secret()) for row in rows])
    )
    assert min(np.mean(truth == "yes"), np.mean(truth == "no")) > 0.1
    log = ProductionLog(settings(), champion.schema)
    answers = [{"label": label, "score": 0.9 if label == "yes" else 0.1} for label in truth]
    ids = log.answered(rows, answers, digest=files.file_sha256(folder / "bundle" / manifest.MANIFEST))
    log.labelled(ids, [label if position < OLD else OTHER[label] for position, label in enumerate(truth)])

    produced = step(collect_labels, found, cleaned, folder, "2026-06-01T00:00:00+00:00")
    change = read_json(produced / "production.json")["change"]
    assert abs(pd.Timestamp(change["at"]) - pd.Timestamp(START) - pd.Timedelta(OLD, "s")) < pd.Timedelta("20s")
    sides = step(split, found, cleaned, frozen=folder / "holdout.parquet", production=produced)
    assert read_json(sides / "split.json")["production"]["weight_before_change"] < 0.2
    trained = step(train, found, sides)

    schema = Schema.load(trained / "schema.json")
    window = pd.read_parquet(produced / "window.parquet")
    network = networks.load(found, trained / "model.keras")
    new = encode_rows(window, schema)
    right = networks.predict(network, new.features).argmax(axis=1) == new.target
    assert right.mean() > 0.8 > 0.2 > np.mean(predicted_labels(champion, window) == window["returned"])

    validation = read_side(sides, "validation", schema)
    table = pd.DataFrame({"label_true": validation["returned"], "label": "no", "score": 0.1})
    held_out = read_side(sides, "holdout", schema)
    frames, predictions = (
        {"validation": validation, "holdout": held_out},
        {"validation": table, "holdout": table[: len(held_out)]},
    )
    compared = reference_rows(schema, frames, predictions)
    assert set(compared[columns.SIDE]) == {"validation"}
    assert len(compared) == (validation[columns.WEIGHT] == 1.0).sum() >= 100


def test_with_too_few_rows_since_the_reference_is_as_before(found, baseline, step):
    cleaned, folder, _ = baseline
    sides = step(split, found, cleaned, frozen=folder / "holdout.parquet")
    schema = Schema.load(sides / "schema.json")
    frames = {side: read_side(sides, side, schema) for side in ("validation", "holdout")}
    frames["validation"][columns.WEIGHT] = [1.0] * 20 + [0.1] * (len(frames["validation"]) - 20)
    predictions = {
        side: pd.DataFrame({"label_true": frame["returned"], "label": "no", "score": 0.1})
        for side, frame in frames.items()
    }
    assert set(reference_rows(schema, frames, predictions)[columns.SIDE]) == {"validation", "holdout"}
