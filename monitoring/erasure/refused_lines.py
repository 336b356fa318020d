"""The subject's documents among those that Elasticsearch refused, which wait in files until they are sent again."""

from __future__ import annotations

from collections.abc import Sequence

from monitoring.erasure.line_matcher import LineMatcher
from monitoring.erasure.subject import FEEDBACK, PREDICTION, Subject, Traces
from monitoring.log_shipping import refused_documents
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.storage.base import MOST_BYTES
from slipway.system.files import read_regular, write_bytes


def erase_refused(config: Settings, subject: Subject, traces: Traces, *, dry_run: bool = False) -> int:
    """Remove the subject's documents from the files in the spool, and in the object store; returns their number.

    The log has each of them, too: of a line it is enough to know that it mentions the subject.

    Raises:
        ServiceError, OSError: the log does not respond.
    """
    matchers = [LineMatcher(stream, subject, traces) for stream in (PREDICTION, FEEDBACK)]
    store, erased = object_store(config), 0
    for path in refused_documents.waiting(config.spool, subject.usecase):
        rest, found = _without(read_regular(path, MOST_BYTES), matchers)
        erased += found
        if found and not dry_run:
            write_bytes(path, rest)
    for name in refused_documents.names(config, store, subject.usecase):
        rest, found = _without(store.read(name), matchers)
        erased += found
        if found and not dry_run:
            store.put(name, rest)
    return erased


def _without(content: bytes, matchers: Sequence[LineMatcher]) -> tuple[bytes, int]:
    lines = content.splitlines(keepends=True)
    kept = [line for line in lines if not any(matcher.mentions(line) for matcher in matchers)]
    return b"".join(kept), len(lines) - len(kept)
