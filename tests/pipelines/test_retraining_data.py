"""A world that changes its rule: labelled rows of production make a better model, and its run says of which rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.change import losses
from pipelines.files import read_json
from pipelines.runs import Run, begun
from pipelines.training import training
from slipway import bundle
from slipway.predictor import Predictor
from slipway.registry import Registry
from slipway.schema import Schema, mask
from slipway.settings import settings
from slipway.usecase import load
from tests.pipelines.production_log import ProductionLog
from tests.servers import unique_name

PARAMS = {"epochs": 20, "members": 2, "width": 16, "learning_rate": 0.01}
RETRAINING = {"min_labelled_rows": 300, "window_rows": 200}


@pytest.fixture
def registry(mlflow_server, monkeypatch) -> Registry:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    return Registry()


@pytest.fixture
def shop(usecase, orders, registry, tmp_path) -> str:
    """The orders' use case under a name of its own: the registry outlasts the test."""
    name = unique_name("orders")
    usecase(orders, params=PARAMS, retraining=RETRAINING)
    content = (tmp_path / "usecases" / "orders" / "usecase.yaml").read_text()
    (tmp_path / "usecases" / name).mkdir()
    (tmp_path / "usecases" / name / "usecase.yaml").write_text(content.replace("name: orders", f"name: {name}"))
    return name


def trained(name: str) -> Run:
    found = load(name)
    with begun(found, {}, register=True, fresh=False) as run:
        training(found, run, run.step)
    return run


def asked(rows: int) -> list[dict]:
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


def test_a_champion_that_fell_is_succeeded_by_one_of_the_new_world(shop, registry, tmp_path):
    first = trained(shop)
    registry.set_alias(shop, "champion", "1")
    folder = first.paths.bundle / "bundle"
    digest = bundle.file_sha256(folder / bundle.MANIFEST)
    schema = Schema.load(folder / "serve" / "schema.json")
    champion = Predictor(folder, "cpu")
    rows, log = asked(1200), ProductionLog(settings(), schema)
    score = champion.run(champion.encode([mask(row, schema, settings().mask_secret()) for row in rows]))[:, 1]
    answers = [{"label": "yes" if p >= 0.5 else "no", "score": float(p)} for p in score]
    ids = log.answered(rows, answers, digest=digest)
    # 300 rows of the old world, in which expensive orders come back; then it is the cheap ones.
    old = np.arange(1200) < 300
    dear = np.array([row["amount"] > 500 for row in rows])
    log.labelled(ids, np.where(dear == old, "yes", "no").tolist())

    second = trained(shop)
    told = read_json(second.paths.production / "production.json")
    assert told["change"]["seen_by"] == "1"
    assert abs(pd.Timestamp(told["change"]["at"]) - pd.Timestamp("2026-03-01T00:05:00Z")) < pd.Timedelta("30s")
    assert read_json(second.paths.split / "split.json")["production"]["weight_before_change"] < 0.2
    window = pd.read_parquet(second.paths.production / "window.parquet")
    challenger = Predictor(second.paths.bundle / "bundle", "cpu")
    assert losses(challenger, window).mean() < 0.5 * losses(champion, window).mean()

    version = registry.version(shop, "2")
    run = registry.run(version.run_id)
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    params = {param["key"]: param["value"] for param in run["data"]["params"]}
    assert tags["slipway.production_rows"] == params["production.rows"] == str(told["rows"]["production"])
    assert params["production.change"] == told["change"]["at"]
    assert version.tags["slipway.cutoff"] == told["cutoff"] == params["production.cutoff"]
    logged = {f"production/{digest}.parquet" for digest in told["sha256"].values()}
    assert set(registry.artifacts(version.run_id, "production")) == logged
    assert registry.fetch_artifact(version.run_id, "production.json", tmp_path / "p.json").exists()
    card = (second.paths.bundle / "bundle" / "card.md").read_text()
    assert f"The world's rule changed at {told['change']['at']}" in card
    reference = pd.read_parquet(second.paths.bundle / "bundle" / "monitor" / "reference.parquet")
    assert reference["amount"].isin([row["amount"] for row in rows[300:]]).mean() > 0.9

    again = trained(shop)
    assert again.finished_before and again.record.key == second.record.key
    registry.set_alias(shop, "champion", "2")
    assert trained(shop).record.key == second.record.key
