"""Capabilities of an Elasticsearch: what it lacks of what setup installs, and what follows from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitoring.elk.sources import processors
from slipway.clients.elasticsearch.failures import explained
from slipway.errors import ServiceError
from slipway.settings import Settings

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

OLDEST = (8, 15)  # the first whose roles have a description
_NOT_THERE = (400, 404, 405, 410)  # of an API that this server has not
_NO_LICENCE = "none"
_FREE = ("basic", "standard", _NO_LICENCE)


@dataclass(frozen=True)
class Lack:
    """A feature that the server has not, and what follows."""

    feature: str
    consequence: str


@dataclass(frozen=True)
class Capabilities:
    """What a server has; `licence` is its kind, such as `basic`, and `none` where it has no licence API."""

    version: str
    licence: str
    ingest: bool
    lifecycle: bool
    security: bool

    @property
    def lacks(self) -> list[Lack]:
        """The missing features, the ones that matter most first."""
        found = [
            (
                self.lifecycle,
                "index lifecycle policies",
                "streams do not roll over, and old events have to be deleted by hand",
            ),
            (
                self.security,
                "security",
                "there are no roles and API keys, and whoever reaches the server reads and deletes",
            ),
            (self.ingest, "ingest processors", "log lines stay unparsed, and the time of arrival is not kept"),
            (
                not self.security or self.licence not in _FREE,
                f"document- and field-level security (licence: {self.licence})",
                "whoever may read a stream sees all of its fields (private values are masked before they are logged)",
            ),
        ]
        return [Lack(feature, consequence) for there, feature, consequence in found if not there]


def detect(client: Elasticsearch, config: Settings) -> Capabilities:
    """Ask the server for its version, licence and features, before anything is changed.

    Raises:
        ServiceError: it does not respond, is another product, too old, or the credentials do not suffice.
    """
    with explained(config):
        found = client.info()["version"]
        _require(found)
        features = _features(client)
        return Capabilities(
            version=str(found["number"]),
            licence=str((features.get("license") or {}).get("type") or _NO_LICENCE),
            ingest=processors() <= _processors(client),
            lifecycle=_is_on(features, "ilm"),
            security=_is_on(features, "security"),
        )


def _require(found: Mapping[str, Any]) -> None:
    version = str(found["number"])
    if found.get("build_flavor") == "serverless":  # its version is always 8.11.0
        raise ServiceError(
            "this is Elasticsearch Serverless, which lacks index lifecycle policies. Nothing was changed. "
            f"Use Elasticsearch {'.'.join(map(str, OLDEST))} or later."
        )
    numbers = [int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit()]
    if tuple(numbers) < OLDEST:
        raise ServiceError(
            f"Elasticsearch {version} is too old: {'.'.join(map(str, OLDEST))} or later is needed. Nothing was changed."
        )


def _features(client: Elasticsearch) -> dict[str, Any]:
    """The licence and the features of `GET /_xpack`; empty where the server has no such API."""
    from elasticsearch import ApiError

    try:
        return dict(client.xpack.info(categories=["license", "features"]).body)
    except ApiError as error:
        if error.status_code not in _NOT_THERE:
            raise
        return {}


def _is_on(features: dict[str, Any], name: str) -> bool:
    feature = (features.get("features") or {}).get(name) or {}
    return bool(feature.get("available") and feature.get("enabled"))


def _processors(client: Elasticsearch) -> frozenset[str]:
    """The ingest processors that every node has."""
    nodes = client.nodes.info(metric="ingest")["nodes"].values()
    each = [frozenset(p["type"] for p in node.get("ingest", {}).get("processors", ())) for node in nodes]
    return frozenset.intersection(*each) if each else frozenset()
