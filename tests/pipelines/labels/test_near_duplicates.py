"""Near-duplicates: equal rows and rows that differ by a hair, and nothing else."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest

from pipelines.labels.near_duplicates import near_duplicates
from slipway.inference import encode_png
from tests.support.bundles import IMAGES, TABULAR

OTHERS = pd.DataFrame(
    {
        "age": np.linspace(20, 90, 200),
        "visits": [float(n % 40) for n in range(200)],
        "job": [("clerk", "nurse", "pilot")[n % 3] for n in range(200)],
        "member": pd.Series([bool(n % 2) for n in range(200)], dtype=object),
    }
)


def rows(**changes) -> pd.DataFrame:
    """The 100th of the other rows with changes."""
    return OTHERS.iloc[[100]].assign(**changes).reset_index(drop=True)


AGE = float(OTHERS["age"][100])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"age": AGE + 0.5}, True),  # the spread of nine in ten is 63 years
        ({"age": AGE + 0.7}, False),
        ({"visits": 21.0}, False),
        ({"job": "pilot" if OTHERS["job"][100] != "pilot" else "clerk"}, False),
        ({"job": "never seen"}, False),
        ({"member": None}, False),
        ({"age": np.nan}, False),
    ],
)
def test_a_row_is_a_near_duplicate_if_all_its_values_are_close(changes, expected):
    assert near_duplicates(rows(**changes), OTHERS, TABULAR).tolist() == [expected]


def test_missing_is_as_missing():
    others = OTHERS.assign(visits=OTHERS["visits"].mask(OTHERS.index == 100), member=None)
    assert near_duplicates(others[100:101], others, TABULAR).all()
    assert not near_duplicates(rows(member=None, visits=20.0), others, TABULAR).any()


def test_a_number_that_is_always_the_same_must_be_equal():
    others = OTHERS.assign(visits=3.0)
    assert near_duplicates(rows(visits=3.0), others, TABULAR).all()
    assert not near_duplicates(rows(visits=3.1), others, TABULAR).any()


def test_empty_tables_have_no_near_duplicates():
    assert near_duplicates(OTHERS, OTHERS[:0], TABULAR).sum() == 0
    assert near_duplicates(OTHERS[:0], OTHERS, TABULAR).size == 0
    assert near_duplicates(OTHERS[[]], OTHERS, TABULAR).sum() == 0


def test_an_image_with_a_little_noise_is_a_near_duplicate_and_another_image_is_not():
    rng = np.random.default_rng(2)
    feature = IMAGES.images[0]
    schema = msgspec.structs.replace(IMAGES, features=(feature,))
    shape = (*feature.size, feature.channels)
    pixels = [rng.integers(0, 200, shape, dtype=np.uint8) for _ in range(30)]
    others = pd.DataFrame({feature.name: [encode_png(p) for p in pixels]})
    noisy = pd.DataFrame({feature.name: [encode_png(p + np.uint8(4)) for p in pixels]})
    darker = pd.DataFrame({feature.name: [encode_png(p // 2) for p in pixels]})
    assert near_duplicates(others, others, schema).all()
    assert near_duplicates(noisy, others, schema).all()
    assert not near_duplicates(darker, others, schema).any()


def test_it_is_quick_to_compare_a_hundred_thousand_rows():
    rng = np.random.default_rng(1)
    many = OTHERS.iloc[rng.integers(0, 200, 100_000)].reset_index(drop=True)
    many["age"] += rng.uniform(-3, 3, len(many))
    found = near_duplicates(many, OTHERS, TABULAR)
    assert 0 < found.sum() < len(many)
