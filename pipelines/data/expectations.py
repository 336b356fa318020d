"""What a use case's schema promises of its rows, as expectations.

Critical is what a model cannot be trained on; a warning is what a person should look at. A few values outside a range
or a vocabulary are a warning; more than one in twenty say that the data are not those the use case means.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from slipway.config import Feature, UseCase

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

_MOST = 0.95
_PRESENT = 0.5  # a nullable column with fewer values than this is worth a look


def from_usecase(usecase: UseCase) -> list[Expectation]:
    """The target's expectations, and each feature's; images have been checked by ingest, dropped ones are gone."""
    features = [f for f in usecase.features if f.kind != "image" and f.private != "drop"]
    return _of_target(usecase) + [expectation for feature in features for expectation in _of_feature(feature)]


def _of_target(usecase: UseCase) -> list[Expectation]:
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


def _of_feature(feature: Feature) -> list[Expectation]:
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
