"""Comparison of the two copies of the audit: the lines under SLIPWAY_LOG_URL, and the stream in Elasticsearch."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from slipway import audit_store
from slipway.clients.elasticsearch.connection import connect, is_configured
from slipway.clients.elasticsearch.streams import AUDIT, stream
from slipway.errors import ServiceError
from slipway.settings import Settings
from slipway.storage import object_store


@dataclass(frozen=True)
class Comparison:
    """Result: `pending` lines wait for the shipper, `problems` for a person; `warnings` say what was not compared.

    `copy` is the stream, None where no Elasticsearch is configured; `compared` whether it could be read.
    """

    lines: int
    pending: int
    copy: str | None = None
    compared: bool = False
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def compare(config: Settings, usecase: str) -> Comparison:
    """Compare every line with its copy, byte for byte.

    Raises:
        ServiceError, OSError: the object store cannot be read.
    """
    # In this order a line that is written meanwhile is not taken for one whose copy is missing.
    ours = {audit_store.id_of(name): content for name, content in audit_store.stored(config, usecase).items()}
    marked = set(audit_store.pending(config, usecase))
    if not is_configured(config):
        return Comparison(len(ours), 0)
    index = stream(AUDIT, config)
    try:
        copies = _copies(config, usecase)
    except ServiceError as error:
        waiting = len(marked & ours.keys())
        return Comparison(len(ours), waiting, index, warnings=[f"the audit was not compared: {error}"])
    lacking = ours.keys() - copies.keys()
    pending = lacking & marked if copies else lacking  # where the stream has no copy at all, the shipper makes them
    problems = [*_altered(ours, pending, copies, index), *_extra(config, usecase, ours, copies)]
    return Comparison(len(ours), len(pending), index, True, problems)


def _copies(config: Settings, usecase: str) -> dict[str, bytes]:
    from monitoring.log_shipping.audit_shipping import copies

    return dict(copies(config, connect(config), usecase))


def _altered(ours: Mapping[str, bytes], pending: Set[str], copies: Mapping[str, bytes], index: str) -> list[str]:
    """Describe the lines whose copy differs, or was removed."""
    problems = []
    for id, content in ours.items():
        if copies.get(id, content) != content:
            problems.append(f"the audit line {id} is not the same in {index}: one of the two was changed.")
        elif id not in copies and id not in pending:
            problems.append(f"the audit line {id} has no copy in {index} any more: it was removed there.")
    return problems


def _extra(config: Settings, usecase: str, ours: Mapping[str, bytes], copies: Mapping[str, bytes]) -> list[str]:
    extra = copies.keys() - ours.keys()
    if extra:  # not those that were written since
        extra -= audit_store.names(config, usecase).keys()
    where = object_store(config).url
    return [
        f"the audit line {id} is in {stream(AUDIT, config)} only: it was removed from {where}." for id in sorted(extra)
    ]
