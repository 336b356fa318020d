"""Gates: bounds, the champion on the frozen holdout, what a server would refuse, and slices; one verdict for all."""

from __future__ import annotations

import msgspec
import pytest

from tests.pipelines.conftest import ORDERS
from tests.pipelines.gates import candidates


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


@pytest.mark.slow
def test_slices_of_enough_rows_are_compared(verdict):
    slices = [{"feature": "country"}, {"feature": "amount", "bins": [800]}, {"feature": "gift"}]
    found = verdict(0.8, gates={"slices": slices, "min_slice_rows": 10})
    assert {"slice:country=de", "slice:amount=< 800", "slice:gift=true"} <= set(found)


@pytest.mark.slow
def test_slices_whose_names_meet_are_two_gates(verdict, orders):
    orders["country=de"] = ["fr"] * 100 + ["it"] * 200
    orders["country"] = ["de=fr"] * 200 + ["it"] * 100
    features = [part for part in ORDERS["features"] if part["name"] != "country"]
    features += [
        {"name": name, "kind": "category", "vocabulary": ["de=fr", "fr", "it"]} for name in ("country", "country=de")
    ]
    slices = [{"feature": "country"}, {"feature": "country=de"}]
    found = verdict(0.8, features=features, gates={"slices": slices, "min_slice_rows": 2})
    first, second = found["slice:country=de=fr"].sentence, found['slice:"country=de"=fr'].sentence
    assert "where country is de=fr (" in first and "where country=de is fr (" in second


@pytest.mark.slow
def test_a_bad_slice_is_refused(verdict, monkeypatch):
    def right_but_of_gifts(rows):
        return candidates.probabilities([(row["amount"] or 0) / 900 if not row["gift"] else 0.5 for row in rows])

    gates = {"slices": [{"feature": "gift"}], "min_slice_rows": 10}
    found = verdict(right_but_of_gifts, gates=gates)
    assert found["slice:gift=true"].verdict == "failed" and found["slice:gift=false"].verdict == "passed"
    assert "On the frozen holdout, where gift is true" in found["slice:gift=true"].sentence
