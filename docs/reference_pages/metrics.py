"""Page of the metrics: what each exporter collects."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from bentos.telemetry.metrics import Metrics
from monitoring.log_shipping.exporter import ShipperCollector
from monitoring.log_shipping.shipper import Shipper
from monitoring.status.exporter import collectors
from monitoring.status.pass_metrics import PassMetrics
from monitoring.webhooks.mlflow_webhook import Deliveries
from reference_pages.markdown import code, table
from slipway.settings import Settings
from slipway.telemetry.credentials import CredentialMetrics
from slipway.telemetry.disks import DiskMetrics
from slipway.telemetry.gpus import GpuMetrics
from slipway.telemetry.processes import this_process

HEAD = """# Metrics

Prometheus metrics, by the process that exports them. Every label has a fixed set of values: an unknown path counts as
the route `other`, an unknown use case as none. The series of a version end 10 to 20 minutes after the server has ceased
to serve it.
"""
_UNITS = {  # by the end of a name; the first that fits counts
    "_timestamp_seconds": "seconds since 1970",
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_ratio": "share, 0 to 1",
    "_quantile": "share, 0 to 1",
    "_percent": "percent",
    "_days": "days",
    "_rows": "rows",
    "_prediction_score": "score, 0 to 1",
    "_files": "files",
    "_fds": "descriptors",
}


def page() -> str:
    header = ["metric", "type", "unit", "labels", "meaning"]
    tables = {title: sorted(map(_row, found)) for title, found in exporters().items()}
    return HEAD + "".join(f"\n## {title}\n\n" + table(header, rows) for title, rows in tables.items())


def exporters() -> dict[str, list[Any]]:
    """Metrics of the client library, and families that a collector yields, by the process that exports them."""
    with tempfile.TemporaryDirectory() as folder:
        config = Settings(var=Path(folder))
        return {
            "Prediction service: `/metrics` on its port": list(_service()),
            "Watch process: `/metrics` of the status page": [
                family
                for collector in (
                    *collectors(config, dict),
                    PassMetrics(),
                    Deliveries(),
                )
                for family in collector.collect()
            ],
            "Shipper: `/metrics` on `SLIPWAY_SHIP_PORT`": [
                *ShipperCollector(config, Shipper(config, [])).collect(),
                *this_process("shipper").collect(),
            ],
        }


def name_of(metric: Any) -> str:
    """The name under which a metric is queried; the series of a histogram add `_bucket`, `_sum` or `_count`."""
    name = _attribute(metric, "name")
    return f"{name}_total" if _attribute(metric, "type") == "counter" else name


def _service() -> Iterator[Any]:
    registry = CollectorRegistry()
    Metrics(registry)
    yield from registry._collector_to_names
    for collector in (this_process("worker-1"), DiskMetrics({}), GpuMetrics(), CredentialMetrics()):
        yield from collector.collect()


def _row(metric: Any) -> list[str]:
    labels = ", ".join(map(code, metric._labelnames))
    kind = _attribute(metric, "type")
    return [code(name_of(metric)), kind, _unit(_attribute(metric, "name")), labels, _attribute(metric, "documentation")]


def _unit(name: str) -> str:
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")


def _attribute(metric: Any, name: str) -> str:
    """An attribute that a family has by its name, and a metric of the client library with a line before it."""
    return getattr(metric, name, None) or getattr(metric, f"_{name}")
