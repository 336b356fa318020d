"""Page of the metrics: what each exporter collects."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from bentos.telemetry.metrics import Metrics
from monitoring.log_shipping.exporter import ShipperCollector
from monitoring.log_shipping.shipper import Shipper
from monitoring.status.exporter import VerdictCollector
from monitoring.webhooks.mlflow_webhook import Deliveries
from reference_pages.markdown import code, table
from slipway.settings import Settings

HEAD = """# Metrics

Prometheus metrics, by the process that exports them. Every label has a fixed set of values: an unknown path counts as
the route `other`, an unknown use case as none.
"""


def page() -> str:
    service = CollectorRegistry()
    Metrics(service)
    with tempfile.TemporaryDirectory() as folder:
        config = Settings(var=Path(folder))
        watch = [*VerdictCollector(config, dict).collect(), *Deliveries().collect()]
        shipper = list(ShipperCollector(config, Shipper(config, [])).collect())
    exporters = {
        "Prediction service: `/metrics` on its port": list(service._collector_to_names),
        "Watch process: `/metrics` of the status page": watch,
        "Shipper: `/metrics` on `SLIPWAY_SHIP_PORT`": shipper,
    }
    rows = {title: sorted(map(_metric, found)) for title, found in exporters.items()}
    header = ["metric", "type", "labels", "meaning"]
    return HEAD + "".join(f"\n## {title}\n\n" + table(header, found) for title, found in rows.items())


def _metric(metric: Any) -> list[str]:
    """A row for a metric of the client library, or for a family that a collector yields."""
    name, kind, help_ = (
        getattr(metric, key, None) or getattr(metric, f"_{key}") for key in ("name", "type", "documentation")
    )
    shown = f"{name}_total" if kind == "counter" else name
    return [code(shown), kind, ", ".join(map(code, metric._labelnames)), help_]
