"""Status of an environment's streams: what they hold, how far behind they are, what was refused, and what to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from monitoring.elk.capabilities import Capabilities, detect
from monitoring.elk.definitions import mark, short
from monitoring.elk.write_index import WriteIndex, write_index
from monitoring.log_shipping import refused_documents
from monitoring.log_shipping.shipper import lag, usecases
from slipway.clients.elasticsearch.failures import explained
from slipway.clients.elasticsearch.streams import AUDIT, DATASETS, FEEDBACK, PREDICTION, SERVICE, streams
from slipway.ecs_logging.spool_handler import FOLDER as LOG_LINES
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.system.files import read_regular

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

LATE_SECONDS = 300.0
_FLOOD = "index.blocks.read_only_allow_delete"
_UNREADABLE = {"term": {"event.kind": "pipeline_error"}}
_FILLED_BY = {
    PREDICTION: "`slipway ship`",
    FEEDBACK: "`slipway ship`",
    SERVICE: "`slipway ship` with SLIPWAY_SPOOL_LOGS, or Filebeat,",
    AUDIT: "`slipway ship`",
}


@dataclass(frozen=True)
class StreamStatus:
    """A stream: `lag_seconds` is the age of the oldest line of this machine's spool, None where it has no spool.

    `unreadable` are documents whose line could not be parsed, `refused` those that Elasticsearch did not take, None
    where their number is not known.
    """

    stream: str
    documents: int = 0
    bytes: int = 0
    indices: int = 0
    oldest: str | None = None
    newest: str | None = None
    lag_seconds: float | None = None
    unreadable: int = 0
    refused: int | None = 0
    advice: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Status:
    """A server with its streams, and what of them could not be read."""

    server: Capabilities
    streams: list[StreamStatus]
    problems: list[str] = field(default_factory=list)


def status(client: Elasticsearch, config: Settings) -> Status:
    """Read the status of every stream.

    Raises:
        ServiceError: Elasticsearch does not respond, or refuses to.
    """
    server = detect(client, config)
    late, refused, problems = _lag(config), dict[str, int](), list[str]()
    try:
        refused = _refused(config)
    except (SlipwayError, OSError) as error:
        problems.append(f"refused documents cannot be counted: {error}")
    with explained(config):
        found = [
            _stream(client, config, server, dataset, refused.get(dataset), late.get(dataset))
            for dataset in streams(config)
        ]
    return Status(server, found, problems)


def _stream(
    client: Elasticsearch, config: Settings, server: Capabilities, dataset: str, refused: int | None, late: float | None
) -> StreamStatus:
    name = streams(config)[dataset]
    index = write_index(client, name)
    if index is None:
        first = f"run `slipway elk setup` if that has not been done; {_FILLED_BY[dataset]} brings the first event"
        advice = [first, *_of_shipping(refused, late)]
        return StreamStatus(name, lag_seconds=late, refused=refused, advice=advice)
    is_current = index.digest == mark(config, dataset, server)
    found = _held(client, name)
    return StreamStatus(
        name,
        documents=found["documents"],
        bytes=client.indices.stats(index=name, metric="store")["_all"]["total"]["store"]["size_in_bytes"],
        indices=index.indices,
        oldest=found["oldest"],
        newest=found["newest"],
        lag_seconds=late,
        unreadable=found["unreadable"],
        refused=refused,
        advice=[
            *_of_index(client, index, is_current=is_current),
            *_of_lines(found["unreadable"]),
            *_of_shipping(refused, late),
        ],
    )


def _held(client: Elasticsearch, stream: str) -> dict[str, Any]:
    times = {"oldest": {"min": {"field": "@timestamp"}}, "newest": {"max": {"field": "@timestamp"}}}
    aggregations = {**times, "unreadable": {"filter": _UNREADABLE}}
    found = client.search(index=stream, size=0, track_total_hits=True, aggs=aggregations)
    return {
        "documents": found["hits"]["total"]["value"],
        **{name: found["aggregations"][name].get("value_as_string") for name in times},
        "unreadable": found["aggregations"]["unreadable"]["doc_count"],
    }


def _of_index(client: Elasticsearch, index: WriteIndex, *, is_current: bool) -> list[str]:
    found = client.indices.get_settings(index=index.name, name=_FLOOD, flat_settings=True)
    blocked = [each for each in found.values() if each["settings"].get(_FLOOD) == "true"]
    advice = [] if is_current else ["other templates made its newest index: run `slipway elk setup`"]
    if blocked:
        advice.append(
            "Elasticsearch made it read-only because a disk is almost full: free or add space, and writes go on by "
            "themselves; the shipper keeps the events meanwhile"
        )
    return advice


def _of_lines(unreadable: int) -> list[str]:
    if not unreadable:
        return []
    return [
        f"log lines that could not be parsed: {unreadable}; search for `event.kind: pipeline_error`, `error.message` "
        "says why"
    ]


def _of_shipping(refused: int | None, late: float | None) -> list[str]:
    advice = []
    if refused:
        advice.append(
            f"refused documents, each kept with its reason: {refused}; remove the cause, then run "
            "`slipway ship --replay-refused`"
        )
    if late is not None and late > LATE_SECONDS:
        advice.append(f"the oldest event has waited for {late:.0f} s: does `slipway ship` run, and what does it say?")
    return advice


def _lag(config: Settings) -> dict[str, float]:
    """The lag of the streams that are shipped from the spool, if this machine has one."""
    by_folder = lag(config)
    found = {SERVICE: by_folder.pop(LOG_LINES)} if LOG_LINES in by_folder else {}
    return found | (dict.fromkeys((PREDICTION, FEEDBACK), max(by_folder.values())) if by_folder else {})


def _refused(config: Settings) -> dict[str, int]:
    """Count refused documents by dataset, in the object store and in this machine's spool.

    Raises:
        SlipwayError, OSError: one of the two cannot be read.
    """
    store, found = object_store(config), Counter[str]()
    for usecase in refused_documents.usecases(config, store):
        for name in refused_documents.names(config, store, usecase):
            found.update(stream for stream, _ in refused_documents.read(store.read(name)))
    for usecase in usecases(config.spool):
        for path in refused_documents.waiting(config.spool, usecase):
            found.update(stream for stream, _ in refused_documents.read(read_regular(path)))
    return {dataset: found[short(dataset)] for dataset in DATASETS}
