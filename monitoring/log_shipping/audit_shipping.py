"""Copies of audit lines in Elasticsearch: what is marked goes to the stream, byte for byte, and loses its mark.

Several shippers may do so at once: a line has the same id in each, and the stream takes an id once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from monitoring.log_shipping.bulk import Refusal
from monitoring.log_shipping.delivery import deliver
from monitoring.log_shipping.event_lines import Document
from slipway import audit, audit_store
from slipway.audit import AuditLine
from slipway.clients.elasticsearch.failures import explained
from slipway.clients.elasticsearch.streams import AUDIT, stream
from slipway.errors import DataError
from slipway.settings import Settings
from slipway.storage import object_store

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

SECONDS = 15.0  # between two looks at the marks, which cost a request each where the log is in a bucket
_AT_ONCE = 500  # lines, of about a kilobyte
_log = logging.getLogger("slipway.ship")


class AuditShipper:
    """Copies marked lines; those of a use case of which the stream has none are all marked first.

    So the lines of an earlier release, and those of a stream that was lost, are there again without a command, and a
    shipper that is killed meanwhile goes on.
    """

    def __init__(self, config: Settings, client: Elasticsearch) -> None:
        self._config = config
        self._client = client
        self._stream = stream(AUDIT, config)
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
        if not self._has_copies(usecase):
            self._mark_all(usecase)
        marked = set(audit_store.pending(self._config, usecase))
        names = audit_store.names(self._config, usecase) if marked else {}
        waiting = [(id, name) for id, name in names.items() if id in marked]
        starts = range(0, len(waiting), _AT_ONCE)
        return sum(self._copy(usecase, waiting[start : start + _AT_ONCE]) for start in starts)

    def _mark_all(self, usecase: str) -> None:
        marked = set(audit_store.pending(self._config, usecase))
        for id in audit_store.names(self._config, usecase).keys() - marked:
            audit_store.mark(self._config, usecase, id)

    def _has_copies(self, usecase: str) -> bool:
        with explained(self._config):
            found = self._client.count(index=self._stream, query=_of(usecase), ignore_unavailable=True)
        return bool(found["count"])

    def _copy(self, usecase: str, names: Sequence[tuple[str, str]]) -> int:
        documents = [Document(id, line) for id, name in names if (line := self._document(usecase, id, name))]
        if not documents:
            return 0
        done = deliver(self._client, self._stream, documents, ask=True)
        with explained(self._config):  # before the mark goes: `slipway history` finds one or the other
            self._client.indices.refresh(index=self._stream)
        refused = {refusal.document.id for refusal in done.refused}
        for document in documents:
            if document.id not in refused:
                audit_store.settle(self._config, usecase, document.id)
        self._report(done.refused)
        return len(documents) - done.found - len(refused)

    def _document(self, usecase: str, id: str, name: str) -> bytes | None:
        """The document of a line; None for one that cannot be read, which `slipway history` names."""
        try:
            content = object_store(self._config).read(name)
            return _document(usecase, id, audit.decode_line(name, content), content)
        except (OSError, DataError):
            return None

    def _report(self, refused: Sequence[Refusal]) -> None:
        """Log a refused line once; it keeps its mark, and is tried again."""
        for refusal in refused:
            id = refusal.document.id
            if id not in self._refused:
                self._refused.add(id)
                _log.error("the audit line %s was refused by %s: %s", id, self._stream, refusal.reason)


def copies(config: Settings, client: Elasticsearch, usecase: str) -> Iterator[tuple[str, bytes]]:
    """Yield the copies of a use case's lines: their ids, and their bytes.

    Raises:
        ServiceError: Elasticsearch does not respond.
    """
    from elasticsearch import helpers

    query = {"query": _of(usecase), "_source": ["event.original"]}
    with explained(config):
        for hit in helpers.scan(client, query, index=stream(AUDIT, config), ignore_unavailable=True):
            yield hit["_id"], hit["_source"]["event"]["original"].encode()


def _of(usecase: str) -> Mapping[str, object]:
    return {"term": {"slipway.usecase": usecase}}


def _document(usecase: str, id: str, line: AuditLine, content: bytes) -> bytes:
    """Make the document of a line: its bytes as they are, and its parts, to be searched for."""
    reason = f": {line.why}" if line.why else ""
    return msgspec.json.encode(
        {
            "@timestamp": line.at,
            "message": f"{usecase}: {line.action} by {line.who}{reason}",
            "event": {
                "id": id,
                "kind": "event",
                "action": line.action,
                "reason": line.why,
                "original": content.decode(),
            },
            "service": {"name": "slipway", "environment": line.environment},
            "user": {"name": line.who},
            "slipway": {"usecase": usecase, "model_version": line.version, "evidence": line.evidence},
        }
    )
