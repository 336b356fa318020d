"""When credentials expire that a process uses or accepts, as its sources know it at the time of a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

API_KEY, CERTIFICATE, CA_CERTIFICATES, TOKEN_KEYS = KINDS = "api_key", "certificate", "ca_certificates", "token_keys"
Expiries = Mapping[tuple[str, str], float | None]


class CredentialMetrics(Collector):
    """The expiry by kind of credential and by the setting that names it; a source has None for what never expires."""

    def __init__(self, *sources: Callable[[], Expiries]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "slipway_credential_expiry_timestamp_seconds",
            "Time at which credentials of a kind expire, by the setting that names them: the next `api_key` that is "
            "valid still, the first `certificate` of a chain, the last one of `ca_certificates` and of `token_keys`.",
            labels=["kind", "name"],
        )
        for source in self._sources:
            for labels, expiry in source().items():
                if expiry is not None:
                    family.add_metric(labels, expiry)
        yield family
