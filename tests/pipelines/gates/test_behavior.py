"""What a use case declares: features that must not matter, numbers that matter in one direction."""

from __future__ import annotations

import pytest

from pipelines.steps.preflight import preflight
from slipway.errors import UseCaseError
from tests.pipelines.gates import candidates


def by_amount(rows):
    return candidates.probabilities([(row["amount"] or 450) / 900 for row in rows])


def by_country(rows):
    return candidates.probabilities([{"de": 0.2, "fr": 0.4, "it": 0.9}.get(row["country"], 0.4) for row in rows])


def by_waves(rows):
    return candidates.probabilities([((row["amount"] or 450) % 300) / 300 for row in rows])


def test_a_feature_that_does_not_matter_passes(verdict):
    found = verdict(by_amount, gates={"invariant": ["country", "items", "gift", "age"]})
    assert {found[f"invariance:{name}"].verdict for name in ("country", "items", "gift", "age")} == {"passed"}
    assert "with another country in each, 0.0% (0.0% to 0.0%) of the decisions" in found["invariance:country"].sentence


def test_a_feature_that_matters_is_refused_with_the_share_and_its_interval(verdict):
    found = verdict(by_country, gates={"invariant": ["country"]})["invariance:country"]
    assert found.verdict == "failed" and found.figure > found.threshold == 0.05
    assert "at most 5.0% may" in found.sentence


def test_a_budget_of_its_own_lets_it_pass(verdict):
    assert (
        verdict(by_country, gates={"invariant": ["country"], "max_variant": 1})["invariance:country"].verdict
        == "passed"
    )


def test_what_the_network_never_sees_cannot_matter(verdict):
    found = verdict(by_country, gates={"invariant": ["email", "phone"]})
    assert found["invariance:email"].verdict == found["invariance:phone"].verdict == "passed"
    assert "never an input" in found["invariance:email"].sentence


@pytest.mark.parametrize(
    ("model", "way", "expected"),
    [
        (by_amount, "up", "passed"),
        (by_amount, "down", "failed"),
        (by_country, "up", "passed"),
        (by_country, "down", "passed"),
        (by_waves, "up", "failed"),
        (by_waves, "down", "failed"),
    ],
)
def test_a_direction_is_kept_or_the_model_is_refused(verdict, model, way, expected):
    found = verdict(model, gates={"directions": {"amount": way}})["direction:amount"]
    assert found.verdict == expected
    assert "with a higher amount in" in found.sentence and "P(yes) goes" in found.sentence
    assert found.sentence.endswith("at most 10.0% may.")


def test_a_number_that_is_the_same_everywhere_has_no_direction(verdict, orders):
    orders["items"] = "3"
    found = verdict(by_amount, gates={"directions": {"items": "up"}})["direction:items"]
    assert found.verdict == "passed" and "no items is higher than another" in found.sentence


@pytest.mark.parametrize(
    ("gates", "sentence"),
    [
        ({"invariant": ["contry"]}, "gates.invariant: no feature 'contry'.*Did you mean 'country'"),
        ({"directions": {"amonut": "up"}}, "gates.directions: no feature 'amonut'.*Did you mean 'amount'"),
        ({"directions": {"amount": "upwards"}}, "gates.directions.amount: .*'up' or 'down'"),
        ({"directions": {"country": "up"}}, "country is not a number that the network sees"),
        ({"directions": {"age": "up"}}, "age is not a number that the network sees"),
        ({"robustness": {"rotate": 3}}, "gates.robustness.rotate: unknown key. Did you mean 'rotation'"),
    ],
)
def test_a_wrong_declaration_is_reported_before_any_work(usecase, orders, gates, sentence):
    with pytest.raises(UseCaseError, match=sentence):
        preflight(usecase(orders, gates=gates))


def test_several_classes_have_no_direction(usecase, orders):
    target = {"name": "returned", "classes": ["no", "yes", "late"]}
    with pytest.raises(UseCaseError, match="multiclass task has no score that goes up"):
        preflight(usecase(orders, task="multiclass", target=target, gates={"directions": {"amount": "up"}}))
