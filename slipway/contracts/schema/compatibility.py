"""Compatibility of schemas: every request that was valid stays valid."""

from __future__ import annotations

from typing import Any

from slipway.contracts.schema.model import Feature, Schema
from slipway.errors import BundleError


def compatible(old: Schema, new: Schema) -> list[str]:
    """List why a request that was valid under `old` could be refused under `new`; nothing if none could.

    A feature that is added must be nullable, one that is removed retired; kinds, sizes and classes stay, and what
    could be null still can.
    """
    reasons = []
    if (old.task, old.classes, old.positive) != (new.task, new.classes, new.positive):
        reasons.append("task or classes differ")
    for feature in new.features:
        before = old.by_name.get(feature.name)
        if before is None:
            if not feature.nullable:
                reasons.append(f"{feature.name} is new and not nullable")
        elif _wire_form(before) != _wire_form(feature):
            reasons.append(f"{feature.name} was {before.kind} and is {feature.kind}")
        elif before.nullable and not feature.nullable:
            reasons.append(f"{feature.name} could be null and no longer can")
    gone = [f.name for f in old.features if f.name not in new.by_name] + list(old.retired)
    reasons += [
        f"{name} is gone and not retired" for name in gone if name not in new.retired and name not in new.by_name
    ]
    return reasons


def require_compatible(version: str | None, serving: Schema, new: Schema) -> None:
    """Raise BundleError where requests that the serving version answers would be refused."""
    if reasons := compatible(serving, new):
        raise BundleError(
            f"requests that version {version} answers would be refused: {'; '.join(reasons)}. "
            "Make added features nullable and list removed ones as retired."
        )


def _wire_form(feature: Feature) -> tuple[Any, ...]:
    """The values that a client may send: a bucketed number is sent as a number."""
    return feature.kind, bool(feature.bins), feature.size, feature.channels
