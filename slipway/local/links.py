"""Where to look once a stack runs."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.local.services import Home


def links(home: Home, served: Sequence[str]) -> list[str]:
    """One line per page, for a person."""
    pages = [("status, all links", home.url("status")), ("models and runs", home.url("mlflow"))]
    pages += [("flows", home.url("prefect"))]
    if served:
        pages += [("try the models", home.url("service")), ("the API", f"{home.url('service')}/docs")]
    return [f"  {what:18}{url}" for what, url in pages]
