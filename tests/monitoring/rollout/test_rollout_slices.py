"""The slices of a rollout, which SQL computes, are those of training and of the gates."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import pandas as pd
import pytest

from monitoring.rollout.evidence import _sliced, slice_sql
from monitoring.rollout.policy import Policy, PolicySlice, load_policy
from slipway.config import load
from slipway.config.schema_builder import from_usecase
from slipway.evaluation.slices import data_slices
from tests.monitoring.rollout.rollout_world import NAME, World

ROWS = pd.DataFrame(
    {
        "age": [25.0, 24.999, 40.0, None, 60.5, 0.0, -3.0],
        "housing": ["rent", "own", None, "own", "castle", "rent", "own"],
        "member": [True, False, None, True, True, False, False],
        "note": ["missing", None, "(missing)", "missing", None, "none", "other"],
        "state": ["missing", "there", None, "missing", None, "there", "there"],
    }
)
FEATURES = [
    {"name": "age", "kind": "number", "nullable": True},
    {"name": "housing", "kind": "category", "vocabulary": ["rent", "own"], "nullable": True},
    {"name": "member", "kind": "boolean", "nullable": True},
    {"name": "note", "kind": "category", "vocabulary": ["missing", "(missing)", "none"], "nullable": True},
    {"name": "state", "kind": "category", "vocabulary": ["missing", "there"]},
    {"name": "income", "kind": "number"},
]
SLICES = [
    {"feature": "age", "bins": [25, 40]},
    {"feature": "housing"},
    {"feature": "member"},
    {"feature": "income"},
    {"feature": "note"},
    {"feature": "state"},
]


@pytest.fixture
def world(rollout: Callable[..., World]) -> World:
    found = rollout()
    found.write(features=FEATURES, gates={"slices": SLICES})
    return found


def test_sql_cuts_rows_into_the_slices_of_training(world: World) -> None:
    usecase, slices = load(NAME), load_policy(NAME).slices
    declared = [each for each in usecase.gates.slices if each.feature != "income"]
    expected = {(each.feature, each.value): each.rows for each in data_slices(declared, from_usecase(usecase), ROWS)}
    rows = pd.DataFrame({"slipway.features": [row.to_json() for _, row in ROWS.iterrows()]})
    for declared_slice in slices:
        query = f"SELECT {slice_sql(declared_slice)} AS value FROM rows"
        values = duckdb.sql(query.replace('"slipway.features"', '"slipway.features"::JSON')).df().value
        for value in declared_slice.values:
            found = (values == value).tolist()
            assert found == expected[declared_slice.feature, value].tolist(), (declared_slice.feature, value)
    assert len(rows) == len(ROWS)


def test_slices_whose_names_meet_are_two_tests() -> None:
    slices = (PolicySlice("a", ("b is c", "d")), PolicySlice("a is b", ("c",)))
    labels = {"slice_0": ["b is c", "d", "d"], "slice_1": ["x", "c", "x"]}
    found = [(name, rows.tolist()) for name, rows in _sliced(labels, Policy(slices=slices))]
    assert dict(found) == {
        "loss where a is b is c": [True, False, False],
        "loss where a is d": [False, True, True],
        'loss where "a is b" is c': [False, True, False],
    }


def test_a_missing_value_is_a_slice_of_its_own_where_it_may_be_missing(world: World) -> None:
    values = {each.feature: each.values for each in load_policy(NAME).slices}
    assert values == {
        "age": ("< 25", "25 – 40", "≥ 40", "missing"),
        "housing": ("rent", "own", "missing"),
        "member": ("false", "true", "missing"),
        "note": ("missing", "(missing)", "none", "((missing))"),
        "state": ("missing", "there"),
    }


def test_a_slice_whose_values_only_data_can_tell_is_no_test_of_a_rollout(world: World) -> None:
    assert "income" not in {each.feature for each in load_policy(NAME).slices}
