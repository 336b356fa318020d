"""Setup of an environment's Elasticsearch: first everything is compared, then what differs is written.

So a server that lacks something, or a template of somebody else's, is named before anything is changed. A run that is
interrupted is finished by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from monitoring.elk import access_keys
from monitoring.elk.access_keys import AccessKey
from monitoring.elk.capabilities import Capabilities, detect
from monitoring.elk.definitions import mark, resources
from monitoring.elk.plan import Action, Change, compare, foreign, overlapping
from monitoring.elk.retention import declared, stream_days
from monitoring.elk.write_index import WriteIndex, write_index
from slipway.clients.elasticsearch.failures import explained
from slipway.clients.elasticsearch.streams import streams
from slipway.errors import ServiceError
from slipway.settings import Settings

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


@dataclass(frozen=True)
class Plan:
    """What a setup does: changes of resources, streams whose next index is to be made by them, and keys.

    `days` are those that each dataset is kept, None for ever.
    """

    server: Capabilities
    days: Mapping[str, int | None]
    changes: list[Change]
    rolled_over: list[str]
    keys: list[AccessKey] = field(default_factory=list)

    @property
    def pending(self) -> list[Change]:
        return [change for change in self.changes if change.action is not Action.keep]

    @property
    def pending_keys(self) -> list[AccessKey]:
        return [key for key in self.keys if key.action is not Action.keep]

    @property
    def is_done(self) -> bool:
        return not (self.pending or self.rolled_over or self.pending_keys)


def plan(client: Elasticsearch, config: Settings, keys: Path | None = None, space: str = "default") -> Plan:
    """Compare what is wanted with what is there; nothing is changed.

    Args:
        keys: folder of the API keys' files; None: keys are not looked at.
        space: the Kibana space whose dashboards the roles are for.

    Raises:
        ServiceError: the server does not respond, is another product, or something of somebody else's is in the way.
        UseCaseError: a use case, whose retention is needed, is not valid.
    """
    server = detect(client, config)
    days = stream_days(config, declared())
    with explained(config):
        changes = compare(client, resources(config, server, days, space))
        there = {dataset: write_index(client, name) for dataset, name in streams(config).items()}
        obstacles = [*foreign(changes), *overlapping(client, config), *_plain_indices(there.values())]
        if obstacles:
            raise ServiceError(f"{'; '.join(obstacles)}. Nothing was changed.")
        return Plan(
            server,
            days,
            changes,
            [streams(config)[name] for name, index in there.items() if _is_outdated(config, name, server, index)],
            access_keys.existing(client, config, keys, space) if keys and server.security else [],
        )


def apply(client: Elasticsearch, config: Settings, planned: Plan, report: Callable[[str], None]) -> None:
    """Write what the plan found to differ, and report each step once it is done.

    Raises:
        SettingsError: the keys' folder cannot be written; nothing was changed.
        ServiceError: the server refuses a step; those before it are done, and another run goes on.
        OSError: the file of a key cannot be written.
    """
    for folder in {key.file.parent for key in planned.pending_keys if key.action is Action.create}:
        access_keys.prepare(folder)
    with explained(config):
        for change in planned.pending:
            change.resource.write(client)
            report(str(change))
        for stream in planned.rolled_over:
            client.indices.rollover(alias=stream)
            report(f"roll over {stream}")
        for key in planned.pending_keys:
            access_keys.write(client, key)
            report(str(key))


def _is_outdated(config: Settings, dataset: str, server: Capabilities, index: WriteIndex | None) -> bool:
    """Whether a stream is there whose index other templates made, such as Elastic's own for `logs-*-*`."""
    return index is not None and index.digest != mark(config, dataset, server)


def _plain_indices(found: Iterable[WriteIndex | None]) -> Iterator[str]:
    for index in found:
        if index is not None and not index.is_stream:
            yield f"{index.name} is an index and no data stream: reindex it under another name and remove it"
