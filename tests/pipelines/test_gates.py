"""Gates: bounds, the champion on the frozen holdout, what a server would refuse, and slices; one verdict for all."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from pipelines import gates
from pipelines.clean import clean
from pipelines.encoded import target
from pipelines.ingest import ingest
from pipelines.split import split
from slipway import bundle
from slipway.schema import Schema
from tests.pipelines import judged


@pytest.fixture
def verdict(usecase, step, orders, tmp_path, monkeypatch):
    """`verdict(skill, champion=…, **changes)`: the gates' by name, for outputs right to that degree."""

    def run(skill: float, champion: float | None = None, old=lambda schema: schema, **changes) -> dict:
        found = usecase(orders, **changes)
        sides = step(split, found, step(clean, found, step(ingest, found)))
        made = judged.evaluation(tmp_path, found, sides, skill)
        if champion is not None:
            known = pd.read_parquet(sides / "holdout.parquet")
            truth = target(known, Schema.load(sides / "schema.json"))
            monkeypatch.setattr(
                gates, "Predictor", _incumbent(old(Schema.load(sides / "schema.json")), truth, champion)
            )
        out = step(gates.gate, found, sides, made.trained, made.evaluated, champion=Path("kept") if champion else None)
        told = bundle.verdict(out)
        assert told.passed == (not told.reasons)
        return {gate.name: gate for gate in told.gates}

    return run


def _incumbent(schema: Schema, truth: np.ndarray, skill: float):
    """A champion's predictor that answers the holdout's rows, in their order, right to that degree."""

    class Incumbent:
        def __init__(self, folder, device):
            self.schema = schema

        def encode(self, rows):
            return rows

        def run(self, feeds):
            assert len(feeds) == len(truth)
            return judged.outputs(truth, skill, seed=9)

    return Incumbent


def test_a_bound_is_at_least_where_more_is_better_and_at_most_elsewhere(verdict):
    found = verdict(0.6, gates={"absolute": {"roc_auc": 0.7, "log_loss": 0.01}})
    assert found["absolute:roc_auc"].verdict == "passed"
    assert found["absolute:log_loss"].verdict == "failed"
    assert "at most 0.01 is needed" in found["absolute:log_loss"].sentence
    assert found["absolute:log_loss"].threshold == 0.01


def test_a_first_version_has_nobody_to_beat(verdict):
    found = verdict(0.6)["champion"]
    assert found.verdict == "passed" and "no champion yet" in found.sentence


def test_a_worse_one_is_refused(verdict):
    assert verdict(0.05, champion=0.9)["champion"].verdict == "failed"


def test_one_that_is_about_as_good_passes(verdict):
    found = verdict(0.5, champion=0.5)["champion"]
    assert found.verdict == "passed" and found.threshold == -0.02
    assert found.figure > -0.02


def test_a_schema_that_breaks_callers_is_refused_here_and_not_only_by_servers(verdict):
    def without_country(schema):
        return msgspec.structs.replace(schema, features=tuple(f for f in schema.features if f.name != "country"))

    found = verdict(0.8, champion=0.3, old=without_country)["compatible"]
    assert found.verdict == "failed" and "country is new and not nullable" in found.sentence


def test_other_classes_cannot_be_compared_and_are_refused(verdict):
    def other(schema):
        return msgspec.structs.replace(schema, classes=("no", "perhaps"), positive="perhaps")

    found = verdict(0.8, champion=0.3, old=other)
    assert "champion" not in found and found["compatible"].verdict == "failed"


def test_slices_of_enough_rows_are_judged(verdict):
    slices = [{"feature": "country"}, {"feature": "amount", "bins": [800]}, {"feature": "gift"}]
    found = verdict(0.8, gates={"slices": slices, "min_slice_rows": 10})
    assert {"slice:country=de", "slice:amount=< 800", "slice:gift=true"} <= set(found)


def test_a_bad_slice_is_refused(verdict, monkeypatch):
    def outputs(truth, skill, seed=0):
        made = plain(truth, skill, seed)
        made[:25] = made[:25, ::-1]
        return made

    plain = judged.outputs
    monkeypatch.setattr(judged, "outputs", outputs)
    monkeypatch.setattr("pipelines.evaluate.parts", lambda usecase, schema, frame: [_first(frame)])
    assert verdict(0.9, gates={"min_slice_rows": 10})["slice:age=< 30"].verdict == "failed"


def _first(frame):
    from pipelines.slices import Part

    return Part("age", "< 30", np.arange(len(frame)) < 25)
