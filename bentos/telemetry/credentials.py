"""When credentials end that this process knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class CredentialMetrics(Collector):
    """The next end by kind of credential; `ends` has None for a kind of which none ends."""

    def __init__(self, ends: Callable[[], dict[str, float | None]]) -> None:
        self._ends = ends

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "slipway_credential_expiry_timestamp_seconds",
            "Time at which the next credential ends, of those that are valid still: an `api_key` of `slipway keys`.",
            labels=["kind"],
        )
        for kind, end in self._ends().items():
            if end is not None:
                family.add_metric([kind], end)
        yield family
