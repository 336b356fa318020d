"""Addresses that dashboards link to: those of a laptop, until a deployment names its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Addresses:
    """Base addresses, without a slash at the end; each becomes a constant of the dashboards."""

    kibana: str = "http://127.0.0.1:5601"
    mlflow: str = "http://127.0.0.1:5000"
    status: str = "http://127.0.0.1:8080"
    # Alerts name the page by their own name; where a reader's copy of the docs is, only its owner knows
    runbooks: str = "https://docs.example.com/slipway/runbooks"
