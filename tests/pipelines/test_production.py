"""Labelled rows of production: which are trained on, which judge, and which are left out, by reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.clean import clean
from pipelines.files import read_json
from pipelines.ingest import ingest
from pipelines.production import production
from pipelines.split import SIDES, split
from slipway import audit, schema as schemas
from slipway.schema import side
from slipway.settings import settings
from tests.pipelines.production_log import ProductionLog, at

CUTOFF = at(5e6)
RETRAINING = {"min_labelled_rows": 100, "caller_share": 1.0, "window_rows": 100}


def made(rows: int, seed: int) -> list[dict[str, Any]]:
    """Orders as callers send them."""
    rng = np.random.default_rng(seed)
    return [
        {
            "amount": round(float(rng.uniform(1, 900)), 2),
            "items": int(rng.integers(1, 9)),
            "country": str(rng.choice(["de", "fr", "it"])),
            "gift": bool(rng.integers(2)),
            "email": f"caller{seed}-{number}@example.com",
            "phone": "+49 30 1",
            "age": int(rng.integers(18, 90)),
        }
        for number in range(rows)
    ]


def truth(row: dict[str, Any]) -> str:
    return "yes" if row["amount"] > 500 else "no"


def answer(row: dict[str, Any]) -> dict[str, Any]:
    score = min(0.99, max(0.01, row["amount"] / 1000))
    return {"label": "yes" if score > 0.5 else "no", "score": score}


@pytest.fixture
def world(usecase, orders, step, tmp_path):
    class World:
        """A use case with a frozen holdout, and a log of its production."""

        def __init__(self) -> None:
            self.usecase = usecase(orders, retraining=RETRAINING)
            self.cleaned = step(clean, self.usecase, step(ingest, self.usecase))
            self.first = step(split, self.usecase, self.cleaned)
            self.standing = tmp_path / "standing"
            self.standing.mkdir()
            (self.standing / "holdout.parquet").write_bytes((self.first / "holdout.parquet").read_bytes())
            self.log = ProductionLog(settings(), schemas.from_usecase(self.usecase))

        def asked(self, rows, start: float = 0, **more) -> list[str]:
            return self.log.answered(rows, [answer(row) for row in rows], start, **more)

        def run(self, cutoff: str | None = CUTOFF, **retraining) -> Path:
            found = usecase(None, retraining={**RETRAINING, **retraining})
            return step(production, found, self.cleaned, self.standing, cutoff)

        def told(self, **retraining) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
            out = self.run(**retraining)
            tables = (pd.read_parquet(out / f"{name}.parquet") for name in ("production", "window"))
            return read_json(out / "production.json"), *tables

    return World()


def test_labelled_rows_are_divided_into_the_newest_window_and_what_is_trained_on(world):
    rows = made(400, 1)
    world.log.labelled(world.asked(rows), [truth(row) for row in rows])
    told, used, window = world.told()
    assert told["rows"] == {"production": len(used), "window": 100}
    assert used["at"].max() < window["at"].min()
    assert window["amount"].tolist() == [row["amount"] for row in rows[-100:]]
    assert set(used["returned"]) == {"no", "yes"}
    assert told["left_out"]["window"] == 100
    assert sum(told["left_out"].values()) + len(used) == 400


def test_what_hashes_to_the_holdout_is_never_trained_on(world):
    rows = made(400, 1)
    world.log.labelled(world.asked(rows), [truth(row) for row in rows])
    told, used, _ = world.told()
    fractions = {"train": 0.6, "validation": 0.2, "holdout": 0.2}
    assert {side(bucket, fractions) for bucket in used["split_bucket"]} == {"train", "validation"}
    assert 30 < told["left_out"]["holdout side"] < 90
