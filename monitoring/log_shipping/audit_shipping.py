"""Copies of audit lines in Elasticsearch: what is marked goes to the stream, byte for byte, and loses its mark.

Several shippers may do so at once: a line has the same id in each, and the stream takes an id once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from elasticsearch import Elasticsearch, helpers

from slipway import audit, audit_store
from slipway.audit import AuditLine
from slipway.clients.elasticsearch.failures import explained
from slipway.clients.elasticsearch.streams import AUDIT, stream
from slipway.errors import DataError
from slipway.settings import Settings
from slipway.storage import object_store

SECONDS = 15.0  # between two looks at the marks, which cost a request each where the log is in a bucket
_AT_ONCE = 500  # lines, of about a kilobyte
_THERE_ALREADY = 409  # sent by another shipper meanwhile
_log = logging.getLogger("slipway.ship")


class AuditShipper:
    """Copies marked lines; those of a use case of which the stream has none are all copied, marked or not.

    So the lines of an earlier release, and those of a stream that was lost, are there again without a command.
    """

    def __init__(self, config: Settings, client: Elasticsearch) -> None:
        self._config = config
        self._client = client
        self._stream = stream(AUDIT, config)
        self._known: set[str] = set()
        self._refused: set[str] = set()
        self._next = 0.0

    def ship_if_due(self) -> int:
        """Ship, unless it was done a moment ago; returns the number of new copies."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + SECONDS
        return self.ship()

    def ship(self) -> int:
        """Copy what waits, and return the number of new copies. A line that cannot be read costs itself.

        Raises:
            ServiceError, OSError: Elasticsearch or the object store does not respond.
        """
        return sum(self._ship(usecase) for usecase in audit_store.usecases(self._config))

    def _ship(self, usecase: str) -> int:
        names = self._waiting(usecase)
        copied, ids = 0, list(names)
        for start in range(0, len(ids), _AT_ONCE):
            lines = self._read({id: names[id] for id in ids[start : start + _AT_ONCE]})
            with explained(self._config):
                present = self._present(lines)
                created = self._create({id: line for id, line in lines.items() if id not in present})
            for id in present | created:
                audit_store.settle(self._config, usecase, id)
            copied += len(created)
        return copied

    def _waiting(self, usecase: str) -> dict[str, str]:
        """The names of the lines to copy, by id."""
        marked = set(audit_store.pending(self._config, usecase))
        is_new = usecase not in self._known and not self._has_copies(usecase)
        self._known.add(usecase)
        if not marked and not is_new:
            return {}
        names = audit_store.names(self._config, usecase)
        return names if is_new else {id: name for id, name in names.items() if id in marked}

    def _has_copies(self, usecase: str) -> bool:
        with explained(self._config):
            found = self._client.count(
                index=self._stream, query={"term": {"slipway.usecase": usecase}}, ignore_unavailable=True
            )
        return bool(found["count"])

    def _read(self, names: Mapping[str, str]) -> dict[str, tuple[AuditLine, bytes]]:
        store, lines = object_store(self._config), {}
        for id, name in names.items():
            try:
                content = store.read(name)
                lines[id] = audit.decode_line(name, content), content
            except (OSError, DataError):  # `slipway history` names it
                continue
        return lines

    def _create(self, lines: Mapping[str, tuple[AuditLine, bytes]]) -> set[str]:
        """Add lines; returns the ids of those that the stream has now, and that can be found in it."""
        actions = (_action(self._stream, id, *line) for id, line in lines.items())
        created = set()
        for ok, item in helpers.streaming_bulk(self._client, actions, raise_on_error=False, refresh="wait_for"):
            result = item["create"]
            if ok or result["status"] == _THERE_ALREADY:
                created.add(result["_id"])
            elif result["_id"] not in self._refused:  # it is tried again, and logged once
                self._refused.add(result["_id"])
                _log.error("the audit line %s was refused by %s: %s", result["_id"], self._stream, result["error"])
        return created

    def _present(self, ids: Iterable[str]) -> set[str]:
        """Ask the whole stream: an id is unique in one index only, and the stream may have rolled over since."""
        wanted = list(ids)
        found = self._client.search(
            index=self._stream,
            query={"ids": {"values": wanted}},
            source=False,
            size=len(wanted),
            ignore_unavailable=True,
        )
        return {hit["_id"] for hit in found["hits"]["hits"]}


def copies(config: Settings, client: Elasticsearch, usecase: str) -> Iterator[tuple[str, bytes]]:
    """Yield the copies of a use case's lines: their ids, and their bytes.

    Raises:
        ServiceError: Elasticsearch does not respond.
    """
    query = {"query": {"term": {"slipway.usecase": usecase}}, "_source": ["event.original"]}
    with explained(config):
        for hit in helpers.scan(client, query, index=stream(AUDIT, config), ignore_unavailable=True):
            yield hit["_id"], hit["_source"]["event"]["original"].encode()


def _action(index: str, id: str, line: AuditLine, content: bytes) -> dict[str, Any]:
    """Make the document of a line: its bytes as they are, and its parts, to be searched for."""
    return {
        "_op_type": "create",
        "_index": index,
        "_id": id,
        "@timestamp": line.at,
        "message": f"{line.usecase}: {line.action} by {line.who}{f': {line.why}' if line.why else ''}",
        "event": {
            "id": id,
            "kind": "event",
            "action": line.action,
            "reason": line.why,
            "original": content.decode(),
        },
        "service": {"name": "slipway", "environment": line.environment},
        "user": {"name": line.who},
        "slipway": {"usecase": line.usecase, "model_version": line.version, "evidence": line.evidence},
    }
