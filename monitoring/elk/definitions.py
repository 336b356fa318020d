"""The resources that an environment needs, made from `elk/templates`, `elk/ingest` and `elk/security`.

Every environment has its own: an upgrade in staging must not change what production writes into.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitoring.elk.capabilities import Capabilities
from monitoring.elk.resource_kinds import (
    COMPONENT,
    INDEX_TEMPLATE,
    LIFECYCLE,
    MANAGED,
    PIPELINE,
    ROLE,
    Body,
    Resource,
)
from monitoring.elk.retention import rollover_days
from monitoring.elk.sources import PIPELINES, read
from monitoring.elk.write_index import MARK, digest
from slipway.clients.elasticsearch.streams import DATASETS, SERVICE, stream
from slipway.settings import Settings

PRIORITY = 500  # Elastic's own templates for `logs-*-*` have 100, those of its integrations 200
ROLES = ("shipper", "reader", "kibana", "eraser")
_LARGEST_SHARD = "50gb"
_KIBANA = "kibana-.kibana"  # the application of Kibana's privileges


def short(dataset: str) -> str:
    """The name of a dataset's files: `prediction` of `slipway.prediction`."""
    return dataset.removeprefix("slipway.")


def prefixed(config: Settings, name: str) -> str:
    """The name of a resource of this environment, such as `slipway-production-shipper`."""
    return f"slipway-{config.environment}-{name}"


def resources(
    config: Settings, server: Capabilities, days: Mapping[str, int | None], space: str = "default"
) -> list[Resource]:
    """All resources in the order in which they are installed; those that the server lacks are left out."""
    found: list[Resource] = []
    if server.lifecycle:
        found += [_lifecycle(config, dataset, days[dataset]) for dataset in DATASETS]
    if server.ingest:
        found += [_pipeline(config, name) for name in PIPELINES]
    for dataset in DATASETS:
        found += [part(config, dataset, server) for part in (_mappings, _settings, _index_template)]
    if server.security:
        found += [Resource(ROLE, prefixed(config, role), role_body(config, role, space)) for role in ROLES]
    return found


def role_body(config: Settings, role: str, space: str = "default") -> Body:
    """The body of a role of elk/security, for this environment's streams alone."""
    source = read(f"security/{role}.yml")
    kibana = source.get("kibana")
    application = {"application": _KIBANA, "privileges": kibana, "resources": [f"space:{space}"]}
    return {
        "description": source["description"],
        "cluster": source["cluster"],
        "indices": [_granted(config, entry) for entry in source["indices"]],
        "applications": [application] if kibana else [],
        "metadata": MANAGED,
    }


def _granted(config: Settings, entry: Body) -> Body:
    return {
        "names": [stream(f"slipway.{name}", config) for name in entry["streams"]],
        "privileges": entry["privileges"],
        "allow_restricted_indices": False,
    }


def mark(config: Settings, dataset: str, server: Capabilities) -> str:
    """The digest that an index has which this release's templates made."""
    return digest(_properties(dataset), _index_settings(config, dataset, server))


def _lifecycle(config: Settings, dataset: str, days: int | None) -> Resource:
    rollover = {"max_age": f"{rollover_days(days)}d", "max_primary_shard_size": _LARGEST_SHARD}
    phases: dict[str, Any] = {"hot": {"min_age": "0ms", "actions": {"rollover": rollover}}}
    if days is not None:  # counted from the roll-over, so no event goes too early
        phases["delete"] = {"min_age": f"{days}d", "actions": {"delete": {"delete_searchable_snapshot": True}}}
    return Resource(LIFECYCLE, prefixed(config, short(dataset)), {"policy": {"phases": phases, "_meta": MANAGED}})


def _pipeline(config: Settings, name: str) -> Resource:
    return Resource(PIPELINE, prefixed(config, name), {**read(f"ingest/{name}.yml"), "_meta": MANAGED})


def _mappings(config: Settings, dataset: str, server: Capabilities) -> Resource:
    """Explicit mappings alone: what they do not name is kept in the document, and not indexed."""
    mappings = {
        "dynamic": False,
        "_meta": {MARK: mark(config, dataset, server)},
        "properties": _properties(dataset),
    }
    body = {"template": {"mappings": mappings}, "_meta": MANAGED}
    return Resource(COMPONENT, f"{prefixed(config, short(dataset))}@mappings", body)


def _properties(dataset: str) -> Body:
    return nested(read("templates/common.yml") | read(f"templates/{short(dataset)}.yml"))


def _settings(config: Settings, dataset: str, server: Capabilities) -> Resource:
    body = {"template": {"settings": _index_settings(config, dataset, server)}, "_meta": MANAGED}
    return Resource(COMPONENT, f"{prefixed(config, short(dataset))}@settings", body)


def _index_settings(config: Settings, dataset: str, server: Capabilities) -> dict[str, str]:
    # Elasticsearch 9 takes `logsdb` for streams of such names, which composes a document anew from its fields. The
    # audit's copy is compared by its bytes.
    settings = {"index.mode": "standard", "index.codec": "best_compression"}
    if dataset == SERVICE:  # lines of any program; events of our own contracts are refused, and kept by the shipper
        settings["index.mapping.ignore_malformed"] = "true"
    if server.lifecycle:
        settings["index.lifecycle.name"] = prefixed(config, short(dataset))
    if server.ingest:
        settings["index.default_pipeline"] = prefixed(config, "service" if dataset == SERVICE else "events")
    return settings


def _index_template(config: Settings, dataset: str, _: Capabilities) -> Resource:
    """The template, with a component `@custom` that an operator may add, for replicas or tiers."""
    parts = [f"{prefixed(config, short(dataset))}@{part}" for part in ("mappings", "settings", "custom")]
    body: Body = {
        "index_patterns": [stream(dataset, config)],
        "data_stream": {},
        "composed_of": parts,
        "ignore_missing_component_templates": parts[-1:],
        "priority": PRIORITY,
        "allow_auto_create": True,
        "_meta": MANAGED,
    }
    return Resource(INDEX_TEMPLATE, stream(dataset, config), body)


def nested(fields: Mapping[str, Body]) -> Body:
    """The `properties` of fields that are named by their path.

    >>> nested({"trace.id": {"type": "keyword"}})
    {'trace': {'properties': {'id': {'type': 'keyword'}}}}
    """
    properties: Body = {}
    for path, field in fields.items():
        *parents, name = path.split(".")
        place = properties
        for parent in parents:
            place = place.setdefault(parent, {"properties": {}})["properties"]
        place[name] = field
    return properties
