"""Slices of training rows and of the prediction log are equal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from slipway.config import Slice
from slipway.contracts.schema import Feature, Schema, bin_labels
from slipway.evaluation.slices import data_slices, declared_values, named_slice

SCHEMA = Schema(
    contract=1,
    usecase="loans",
    task="binary",
    features=(
        Feature("age", "integer", nullable=True),
        Feature("married", "boolean"),
        Feature("job", "category", vocabulary=("cook", "smith"), nullable=True),
        Feature("photo", "image"),
        Feature("income", "category", vocabulary=("< 1000", ">= 1000"), private="bucket", bins=(1000.0,)),
        Feature("name", "category", private="token"),
    ),
    target="default",
    classes=("no", "yes"),
    positive="yes",
)


def counted(declared: list[Slice], columns: dict | pd.DataFrame, **limits: int) -> dict[str, int]:
    return {each.value: int(each.rows.sum()) for each in data_slices(declared, SCHEMA, columns, **limits)}


@pytest.mark.parametrize("ages", [[10, 20, 30, 40, None], ["10", "20", "30", "40", None]])
def test_a_number_is_cut_at_the_declared_bins_or_at_its_own_quartiles(ages):
    declared = counted([Slice(feature="age", bins=[25])], {"age": ages})
    assert list(declared.values()) == [2, 2, 1] and list(declared)[-1] == "missing"
    assert list(counted([Slice(feature="age")], {"age": ages}).values()) == [1, 1, 1, 1, 1]


def test_values_and_their_text_in_the_log_give_the_same_slices():
    declared = [Slice(feature="married"), Slice(feature="job")]
    values = pd.DataFrame({"married": [True, False, True], "job": ["cook", None, "smith"]})
    logged = {"married": ["true", "false", "true"], "job": ["cook", None, "smith"]}
    assert counted(declared, values) == counted(declared, logged)
    assert counted(declared, values) == {"false": 1, "true": 2, "cook": 1, "smith": 1, "missing": 1}


def test_a_value_called_missing_and_no_value_stay_two():
    jobs = ["missing", None, "missing", "cook"]
    found = counted([Slice(feature="job")], {"job": jobs})
    assert found == {"cook": 1, "missing": 2, "(missing)": 1}
    odd = Feature("job", "category", vocabulary=("missing", "(missing)"), nullable=True)
    assert declared_values(odd, None) == ("missing", "(missing)", "((missing))")


@pytest.mark.parametrize("form", ["slice:{}={}", "loss where {} is {}"])
def test_no_two_slices_have_one_name(form):
    parts = ["a", "a=b", "b=c", "c", "=", "", "a is", "is b", "a is b", "b", " is ", '"a', '"a=b"', '"a=b"=c', "is"]
    slices = [(feature, value) for feature in parts for value in parts if feature]
    assert len({named_slice(form, *part) for part in slices}) == len(slices)
    assert named_slice(form, "age", "< 25") == form.format("age", "< 25"), "most names need no quotes"


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        ([1e6, 2e6], ("< 1e+06", "1e+06 – 2e+06", "≥ 2e+06")),
        ([1234567, 1234568], ("< 1234567", "1234567 – 1234568", "≥ 1234568")),
        ([0.1234561, 0.1234562], ("< 0.1234561", "0.1234561 – 0.1234562", "≥ 0.1234562")),
        ([1.7e9, 1.7e9 + 1], ("< 1700000000", "1700000000 – 1700000001", "≥ 1700000001")),
    ],
)
def test_edges_that_are_close_to_each_other_stay_two(bins, expected):
    assert bin_labels(bins) == expected
    ages = [bins[0] - 1, bins[0], bins[-1]]
    assert counted([Slice(feature="age", bins=bins)], {"age": ages}) == dict.fromkeys(expected, 1)


def test_a_report_has_the_commonest_values_alone():
    jobs = ["cook"] * 3 + ["smith"] * 2 + ["baker"]
    assert counted([Slice(feature="job")], {"job": jobs}, max_values=2) == {"cook": 3, "smith": 2}
    assert counted([Slice(feature="job")], {"job": jobs}) == {"baker": 1, "cook": 3, "smith": 2}


def test_a_feature_that_the_model_does_not_have_has_no_slice():
    assert data_slices([Slice(feature="shoe_size")], SCHEMA, {}) == []


def test_a_mask_follows_the_order_of_the_rows_whatever_their_index():
    frame = pd.DataFrame({"job": ["cook", "smith"]}, index=[7, 3])
    cook, smith = data_slices([Slice(feature="job")], SCHEMA, frame)
    assert np.array_equal(cook.rows, [True, False]) and np.array_equal(smith.rows, [False, True])


@pytest.mark.parametrize(
    ("feature", "bins", "expected"),
    [
        ("age", [18.0], 3),
        ("age", None, None),
        ("married", None, ("false", "true")),
        ("job", None, ("cook", "smith", "missing")),
        ("photo", None, None),
        ("income", None, ("< 1000", ">= 1000")),
        ("name", None, None),
    ],
)
def test_values_that_are_known_before_any_data(feature, bins, expected):
    found = declared_values(SCHEMA.by_name[feature], bins)
    assert (len(found) if isinstance(expected, int) else found) == expected
