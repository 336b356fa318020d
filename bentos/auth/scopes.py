"""Which scope opens which route, by the route's name in the metrics; a name that is not here needs `admin`."""

from __future__ import annotations

from collections.abc import Iterable

from slipway.api_keys import SCOPES
from slipway.settings import Settings

ADMIN = "admin"  # opens every route
_ANY = frozenset(SCOPES)
_NEEDS = {
    "predict": frozenset({"predict"}),
    "feedback": frozenset({"feedback"}),
    "explain": frozenset({"explain"}),
    "model": frozenset({"read", "predict"}),
    "models": frozenset({"read", "predict"}),
    "schema": frozenset({"read", "predict"}),
    "metrics": frozenset({"read"}),
    "docs": frozenset({"read"}),
    "openapi": frozenset({"read"}),
    "other": _ANY,  # what there is not, and what BentoML answers: for whoever has a credential at all
}


def open_routes(settings: Settings) -> frozenset[str]:
    """The routes that nobody needs a credential for: they hold no data, or a setting opens them."""
    names = {"probe", "page"}
    if settings.open_metrics:
        names.add("metrics")
    if settings.open_docs:
        names |= {"docs", "openapi"}
    return frozenset(names)


def opened(scopes: Iterable[str]) -> frozenset[str]:
    """The routes that these scopes open.

    >>> sorted(opened(["feedback"]))
    ['feedback', 'other']
    """
    held = set(scopes)
    return frozenset(route for route, needs in _NEEDS.items() if ADMIN in held or held & needs)


def needed(route: str) -> list[str]:
    """The scopes of which one opens the route, in their usual order."""
    return [scope for scope in SCOPES if scope in _NEEDS.get(route, ())] or [ADMIN]
