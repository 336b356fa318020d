"""The difference between the resources that an environment needs and those that its Elasticsearch has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import yaml

from monitoring.elk.definitions import PRIORITY
from monitoring.elk.resource_kinds import MANAGED, Body, Resource, as_wanted
from slipway.clients.elasticsearch.streams import streams
from slipway.settings import Settings
from slipway.texts import one_line

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


class Action(StrEnum):
    create, update, keep = "create", "update", "keep"


@dataclass(frozen=True)
class Change:
    """What is done with a resource; `found` is what the server has of it."""

    resource: Resource
    found: Body | None

    @property
    def action(self) -> Action:
        if self.found is None:
            return Action.create
        return Action.keep if as_wanted(self.found, self.resource.body) == self.resource.body else Action.update

    def __str__(self) -> str:
        return f"{self.action} {self.resource.kind.name} {self.resource.name}"

    def diff(self) -> list[str]:
        """The lines of a unified diff from what is there to what is wanted; empty where they agree."""
        before = _lines(as_wanted(self.found, self.resource.body)) if self.found is not None else []
        names = f"{self.resource.name} (there)", f"{self.resource.name} (wanted)"
        return list(difflib.unified_diff(before, _lines(self.resource.body), *names, lineterm=""))


def compare(client: Elasticsearch, resources: Iterable[Resource]) -> list[Change]:
    """Read what is there of each resource."""
    return [Change(resource, resource.found(client)) for resource in resources]


def foreign(changes: Iterable[Change]) -> Iterator[str]:
    """Resources of our names that somebody else manages: they are not overwritten."""
    for change in changes:
        resource = change.resource
        if change.found is None or change.action is Action.keep:
            continue
        if (resource.kind.marks(change.found) or {}).get("managed_by") != MANAGED["managed_by"]:
            yield f"the {resource.kind.name} {resource.name} is not Slipway's: rename or remove it"


def overlapping(client: Elasticsearch, config: Settings) -> Iterator[str]:
    """Index templates of others that match a stream of ours and would win over our template."""
    ours = streams(config).values()
    for found in client.indices.get_index_template()["index_templates"]:
        name, template = found["name"], found["index_template"]
        patterns, priority = _patterns(template), template.get("priority") or 0
        matched = [s for s in ours if any(fnmatchcase(s, pattern) for pattern in patterns)]
        if name not in ours and matched and priority >= PRIORITY:
            yield (
                f"the index template {one_line(name)} (patterns {', '.join(patterns)}, priority {priority}) matches "
                f"{', '.join(matched)} and wins over Slipway's, whose priority is {PRIORITY}: give it a lower priority "
                "or narrower patterns"
            )


def _patterns(template: dict[str, Any]) -> list[str]:
    found = template.get("index_patterns") or []
    return [found] if isinstance(found, str) else list(found)


def _lines(body: Body) -> list[str]:
    text: str = yaml.dump(body, sort_keys=True, default_flow_style=False, width=120, Dumper=_PlainDumper)
    return text.splitlines()


class _PlainDumper(yaml.SafeDumper):
    """Writes a value that occurs twice twice, not as a reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
