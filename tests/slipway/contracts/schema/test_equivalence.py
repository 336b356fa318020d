"""Which values of another version mean the same: those that were defined alike."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from slipway.contracts.schema.equivalence import is_comparable, is_trainable
from tests.support import bundles

NOW = bundles.TABULAR


@pytest.mark.parametrize(
    ("name", "change", "comparable", "trainable"),
    [
        ("age", {}, True, True),
        ("age", {"unit": "", "description": "of the applicant", "range": None}, True, True),
        ("age", {"unit": "months"}, False, False),
        ("age", {"kind": "integer"}, False, False),
        ("visits", {"nullable": False}, False, True),  # what never was missing is a row like any other
        ("job", {"vocabulary": ("pilot", "clerk")}, True, True),  # a nurse came later, or was logged as unknown
        ("job", {"vocabulary": ("office", "nurse", "pilot")}, False, False),
        ("job", {"private": "token", "vocabulary": None}, False, False),
        ("member", {"kind": "category"}, False, False),
    ],
)
def test_a_feature_is_alike_if_its_values_mean_the_same(
    name: str, change: dict[str, Any], comparable: bool, trainable: bool
) -> None:
    features = [msgspec.structs.replace(one, **change) if one.name == name else one for one in NOW.features]
    before = msgspec.structs.replace(NOW, features=tuple(features))
    assert is_comparable(before.by_name[name], NOW.by_name[name]) == comparable
    assert is_trainable(before, NOW) == trainable


@pytest.mark.parametrize(
    ("change", "alike"),
    [({"size": (16, 16)}, False), ({"channels": 3}, False), ({"description": "a shape"}, True)],
)
def test_an_image_of_another_size_is_another_one(change: dict[str, Any], alike: bool) -> None:
    [image] = bundles.IMAGES.features
    assert is_comparable(msgspec.structs.replace(image, **change), image) == alike


def test_features_that_only_one_of_both_has_and_a_target_of_no_unit_change_nothing() -> None:
    fewer = msgspec.structs.replace(NOW, features=NOW.features[:2])
    assert is_trainable(fewer, NOW) and is_trainable(NOW, fewer)
    assert is_trainable(bundles.REGRESSION, msgspec.structs.replace(bundles.REGRESSION, unit=""))
    assert not is_trainable(bundles.REGRESSION, msgspec.structs.replace(bundles.REGRESSION, unit="cents"))
