"""Audit trail: who did what to a use case's models, when, why, and on what evidence. Lines are never changed.

Each line is an object of its own, `audit/ENVIRONMENT/USECASE/DATE/ID.json` under SLIPWAY_LOG_URL, so writers need no
lock, and none can break another's line. Elasticsearch, where there is one, has a second copy (slipway.audit_store).
"""

from __future__ import annotations

import getpass
import os
import socket
from typing import Any

import msgspec

from slipway import audit_store, ids, timestamps
from slipway.errors import DataError
from slipway.settings import Settings, settings

UNKNOWN = "not known: this MLflow has no login"


class AuditLine(msgspec.Struct, frozen=True):
    """An action on a use case's models. `id` is a UUID of version 7, so lines sort by time; `at` is in UTC, ISO 8601.

    `action` is one of docs/reference/audit-actions.md; `version` is the affected one, if any.
    """

    id: str
    at: str
    environment: str
    usecase: str
    action: str
    who: str
    why: str = ""
    version: str | None = None
    evidence: dict[str, Any] = {}


def append(
    usecase: str,
    action: str,
    *,
    who: str,
    why: str = "",
    version: str | None = None,
    evidence: dict[str, Any] | None = None,
    config: Settings | None = None,
) -> AuditLine:
    """Write a line; `slipway ship` copies it to Elasticsearch.

    Raises:
        ServiceError, OSError: the object store does not take it.
    """
    config = config or settings()
    line = AuditLine(
        ids.uuid7(),
        timestamps.now_iso(),
        config.environment,
        usecase,
        action,
        who,
        why,
        version,
        evidence or {},
    )
    audit_store.write(config, usecase, line.id, line.at[:10], msgspec.json.encode(line))
    return line


def lines(usecase: str, config: Settings | None = None) -> list[AuditLine]:
    """Read every line of a use case in this environment, the oldest first.

    Raises:
        DataError: a line is not as it was written; the message names it.
        ServiceError, OSError: the object store cannot be read.
    """
    return [decode_line(name, content) for name, content in audit_store.stored(config or settings(), usecase).items()]


def person() -> str:
    """Name the person who runs this command, as USER@HOST."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # as in a container that runs under a number of its own
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def decode_line(name: str, content: bytes) -> AuditLine:
    """Parse a line; raises DataError, which names it, if it is not as it was written."""
    try:
        return msgspec.json.decode(content, type=AuditLine)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is no line of the audit any more ({error}): was it changed?") from None
