"""A small use case of the tests' own: a shop's orders, in a folder that each test may change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pipelines.gates.latency import Median
from pipelines.steps import gate as gate_module
from pipelines.steps.clean import clean
from pipelines.steps.ingest import ingest
from pipelines.steps.split import split
from slipway.config import UseCase, load
from slipway.contracts.bundle import gate_report
from slipway.contracts.schema import Schema
from slipway.settings import settings
from tests.pipelines.gates import candidates

ORDERS: dict[str, Any] = {
    "name": "orders",
    "owner": "shop@example.com",
    "task": "binary",
    "features": [
        {"name": "amount", "kind": "number", "range": [0, 1000], "nullable": True},
        {"name": "items", "kind": "integer"},
        {"name": "country", "kind": "category", "vocabulary": ["de", "fr", "it"]},
        {"name": "gift", "kind": "boolean"},
        {"name": "email", "kind": "category", "private": "token"},
        {"name": "phone", "kind": "category", "private": "drop"},
        {"name": "age", "kind": "integer", "private": "bucket", "bins": [30, 60]},
    ],
    "target": {"name": "returned", "classes": ["no", "yes"], "positive": "yes"},
}


@pytest.fixture
def orders() -> pd.DataFrame:
    """300 orders as text, as a CSV file has them; expensive ones come back."""
    rng = np.random.default_rng(5)
    amount = rng.uniform(1, 900, 300).round(2)
    return pd.DataFrame(
        {
            "amount": amount.astype(str),
            "items": rng.integers(1, 9, 300).astype(str),
            "country": rng.choice(["de", "fr", "it"], 300),
            "gift": rng.choice(["true", "false"], 300),
            "email": [f"person{number}@example.com" for number in range(300)],
            "phone": [f"+49 30 {number:06d}" for number in range(300)],
            "age": rng.integers(18, 90, 300).astype(str),
            "returned": np.where(amount + rng.normal(0, 200, 300) > 500, "yes", "no"),
        }
    )


@pytest.fixture
def usecase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., UseCase]:
    """`usecase(frame, **changes)`: the orders' use case on that frame as a CSV file; `changes` are keys of its YAML."""
    folder = tmp_path / "usecases" / "orders"
    folder.mkdir(parents=True)
    monkeypatch.setenv("SLIPWAY_USECASES", str(folder.parent))
    settings.cache_clear()

    def make(frame: pd.DataFrame | None = None, **changes: Any) -> UseCase:
        path = tmp_path / "orders.csv"
        if frame is not None:
            frame.to_csv(path, index=False)
        content = {**ORDERS, "source": {"path": str(path)}, **changes}
        (folder / "usecase.yaml").write_text(yaml.safe_dump(content))
        return load("orders")

    return make


@pytest.fixture
def step(tmp_path: Path) -> Callable[..., Path]:
    """`step(ingest, usecase)` runs a step into a directory of its own and gives that directory."""
    made = 0

    def run(function: Callable[..., None], *args: Any, **kwargs: Any) -> Path:
        nonlocal made
        made += 1
        out = tmp_path / "steps" / f"{made}-{function.__name__}"
        out.mkdir(parents=True)
        function(*args, **kwargs, out=out)
        return out

    return run


@pytest.fixture
def verdict(
    usecase, step, orders, tmp_path, monkeypatch, equally_fast, few_resamples
) -> Callable[..., dict[str, gate_report.Gate]]:
    """`verdict(challenger, champion=…, window=…, **changes)`: the gates' by name.

    A model is a function of rows, or a number: it is right of the orders to that degree. `window` is a function of the
    validation's rows that makes the newest labelled ones of them; `old` one of the schema that makes the champion's.
    Any score is good enough where `gates` declares no other bound.
    """

    def run(
        challenger, champion=None, window=None, old=lambda schema: schema, **changes
    ) -> dict[str, gate_report.Gate]:
        found = usecase(orders, **changes | {"gates": {"absolute": {"roc_auc": 0}} | changes.get("gates", {})})
        sides = step(split, found, step(clean, found, step(ingest, found)))
        schema = Schema.load(sides / "schema.json")
        frame = pd.concat([pd.read_parquet(sides / f"{side}.parquet") for side in ("holdout", "validation")])

        def model(given, seed: int) -> candidates.Model:
            return given if callable(given) else candidates.knowing(schema, frame, given, seed)

        made = candidates.evaluation(tmp_path, found, sides, model(challenger, 0))
        known = {made.exported: (schema, model(challenger, 0))}
        given: dict[str, Path] = {}
        if champion is not None:
            given["champion"] = tmp_path / "champion"
            known[given["champion"]] = old(schema), model(champion, 9)
        if window is not None:
            given["window"] = tmp_path / "window.parquet"
            window(pd.read_parquet(sides / "validation.parquet")).to_parquet(given["window"])
        candidates.answering(monkeypatch, known)
        report = gate_report.read_gate_report(
            step(gate_module.gate, found, sides, made.exported, made.evaluated, **given)
        )
        assert report.passed == (not report.reasons)
        return {gate.name: gate for gate in report.gates}

    return run


@pytest.fixture
def equally_fast(monkeypatch) -> None:
    """In place of servers: every bundle answers in a millisecond."""

    def medians(usecase, folders, rows) -> dict[str, Median]:
        return dict.fromkeys(folders, Median(1.0, 0.9, 1.1, 300))

    monkeypatch.setattr("pipelines.gates.resources.measure_medians", medians)


@pytest.fixture
def few_resamples(monkeypatch) -> None:
    """Draw as few resamples for intervals as of the largest tables."""
    monkeypatch.setattr("slipway.evaluation.bootstrap._WORK", 0)
