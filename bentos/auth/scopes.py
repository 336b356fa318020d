"""Scopes that routes require, by the route's name in the metrics; a route that is not listed requires `admin`."""

from __future__ import annotations

from collections.abc import Iterable

from slipway.api_keys import SCOPES
from slipway.settings import Settings

ADMIN = "admin"  # allows every route
_ANY = frozenset(SCOPES)
_REQUIRED = {
    "predict": frozenset({"predict"}),
    "feedback": frozenset({"feedback"}),
    "explain": frozenset({"explain"}),
    "model": frozenset({"read", "predict"}),
    "models": frozenset({"read", "predict"}),
    "schema": frozenset({"read", "predict"}),
    "metrics": frozenset({"read"}),
    "details": frozenset({"read"}),  # what probes, errors and the model's route show to operators alone
    "docs": frozenset({"read"}),
    "openapi": frozenset({"read"}),
    "other": _ANY,  # unknown paths and those that BentoML answers: any credential will do
}


def open_routes(settings: Settings) -> frozenset[str]:
    """Return the routes that need no credential: they hold no data, or a setting opens them."""
    names = {"probe", "page"}
    if settings.open_metrics:
        names.add("metrics")
    if settings.open_docs:
        names |= {"docs", "openapi"}
    return frozenset(names)


def allowed_routes(scopes: Iterable[str]) -> frozenset[str]:
    """Return the routes that these scopes allow.

    >>> sorted(allowed_routes(["feedback"]))
    ['feedback', 'other']
    """
    held = set(scopes)
    return frozenset(route for route, required in _REQUIRED.items() if ADMIN in held or held & required)


def required_scopes(route: str) -> list[str]:
    """Return the scopes of which one is required for the route, in the order of SCOPES."""
    return [scope for scope in SCOPES if scope in _REQUIRED.get(route, ())] or [ADMIN]
