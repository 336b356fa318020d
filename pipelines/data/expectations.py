"""Expectations of Great Expectations that follow from a use case's schema.

A critical expectation protects the training; a warning needs a person's attention. A few values outside a range or a
vocabulary are a warning; more than one in twenty are critical, as the data are then not those of the use case.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from slipway.config import Feature, UseCase

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

_MOST = 0.95
_PRESENT = 0.5  # a nullable column with fewer values than this gets a warning


def from_usecase(usecase: UseCase) -> list[Expectation]:
    """Return the expectations of the target and the features, but images, which ingest has checked."""
    features = [f for f in usecase.features if f.kind != "image" and f.private != "drop"]
    return _target_expectations(usecase) + [
        expectation for feature in features for expectation in _feature_expectations(feature)
    ]


def _target_expectations(usecase: UseCase) -> list[Expectation]:
    import great_expectations.expectations as gxe

    target = usecase.target
    complete = [gxe.ExpectColumnValuesToNotBeNull(column=target.name, severity="critical")]
    if usecase.task == "regression":
        return complete
    return [
        *complete,
        gxe.ExpectColumnValuesToBeInSet(column=target.name, value_set=target.classes, severity="critical"),
        gxe.ExpectColumnDistinctValuesToContainSet(column=target.name, value_set=target.classes, severity="critical"),
    ]


def _feature_expectations(feature: Feature) -> list[Expectation]:
    import great_expectations.expectations as gxe

    name = feature.name
    if feature.nullable:
        found = [gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=_PRESENT, severity="warning")]
    else:
        found = [gxe.ExpectColumnValuesToNotBeNull(column=name, severity="critical")]
    if feature.private in ("token", "bucket"):
        return found
    within: list[Callable[..., Expectation]] = []
    if feature.range:
        low, high = feature.range
        within.append(partial(gxe.ExpectColumnValuesToBeBetween, min_value=low, max_value=high))
    if feature.vocabulary:
        within.append(partial(gxe.ExpectColumnValuesToBeInSet, value_set=feature.vocabulary))
    for expect in within:
        found.append(expect(column=name, mostly=_MOST, severity="critical"))
        found.append(expect(column=name, severity="warning"))
    return found
