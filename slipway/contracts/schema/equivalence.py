"""Equivalence of features: whether values that two versions logged under one name mean the same."""

from __future__ import annotations

import msgspec

from slipway.contracts.schema.model import Feature, Schema


def is_comparable(before: Feature, now: Feature) -> bool:
    """Tell whether values of `before` can be compared with those of `now`, missing ones included."""
    return _means_the_same(before, now) and before.nullable == now.nullable


def is_trainable(before: Schema, now: Schema) -> bool:
    """Tell whether labelled rows that were logged under `before` are rows of `now`, once they are masked as now."""
    pairs = [(feature, now.by_name[feature.name]) for feature in before.features if feature.name in now.by_name]
    same_target = (before.task, before.target) != (now.task, now.target) or _agree(before.unit, now.unit)
    return same_target and all(_means_the_same(_masked_as(one, other), other) for one, other in pairs)


def _means_the_same(before: Feature, now: Feature) -> bool:
    """Whether kind, unit, mask and size are equal, and no category was renamed or removed.

    A category that was added may be in the log of both, where an unknown one is as it was sent.
    """
    kept = now.vocabulary is None or set(before.vocabulary or ()) <= set(now.vocabulary)
    return kept and _agree(before.unit, now.unit) and _form(before) == _form(now)


def _masked_as(before: Feature, now: Feature) -> Feature:
    """The feature as if it had been private already: what was logged as it is can be masked now."""
    if before.private is not None or now.private is None:
        return before
    return msgspec.structs.replace(now, unit=before.unit)


def _form(feature: Feature) -> tuple[object, ...]:
    return feature.kind, feature.private, feature.bins, feature.size, feature.channels


def _agree(before: str, now: str) -> bool:
    """Whether two units are equal; one that is not given says nothing."""
    return before == now or not (before and now)
