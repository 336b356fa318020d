"""Where audit lines are: an object each, and a mark for each that has no copy in Elasticsearch yet.

Before a line is written, a mark `audit/ENVIRONMENT/USECASE/pending/ID` is written under SLIPWAY_LOG_URL. The shipper
removes it once the stream `logs-slipway.audit-ENVIRONMENT` has the line. So no writer needs Elasticsearch, and a line
with neither mark nor copy is one whose copy was removed.
"""

from __future__ import annotations

import re

from slipway.settings import Settings
from slipway.storage import object_store

_ENDING = ".json"
_PENDING = "pending"
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_ROOT = "audit"


def write(config: Settings, usecase: str, id: str, date: str, content: bytes) -> None:
    """Write a line, after its mark.

    Raises:
        ServiceError, OSError: the object store does not take it.
    """
    mark(config, usecase, id)
    object_store(config).put(f"{folder(config, usecase)}/{date}/{id}{_ENDING}", content)


def stored(config: Settings, usecase: str) -> dict[str, bytes]:
    """Read the lines by name, the oldest first.

    Raises:
        ServiceError, OSError: the object store cannot be read.
    """
    return {name: object_store(config).read(name) for name in names(config, usecase).values()}


def usecases(config: Settings) -> list[str]:
    """List the use cases that have lines in this environment."""
    return object_store(config).names(f"{_ROOT}/{config.environment}")


def names(config: Settings, usecase: str) -> dict[str, str]:
    """List the names of the lines by their ids, the oldest first."""
    store, root = object_store(config), folder(config, usecase)
    dates = [name for name in store.names(root) if _DATE.fullmatch(name)]
    found = (f"{root}/{date}/{name}" for date in dates for name in store.names(f"{root}/{date}"))
    return {id_of(name): name for name in found if name.endswith(_ENDING)}


def pending(config: Settings, usecase: str) -> list[str]:
    """List the ids of the lines that are marked."""
    found = object_store(config).names(f"{folder(config, usecase)}/{_PENDING}")
    return [name for name in found if not name.startswith(".")]


def mark(config: Settings, usecase: str, id: str) -> None:
    """Mark a line as not copied. A mark counts by its name: whoever can write one may write anything into it."""
    object_store(config).put(_mark(config, usecase, id), b"")


def settle(config: Settings, usecase: str, id: str) -> None:
    """Remove the mark of a line whose copy exists."""
    object_store(config).remove(_mark(config, usecase, id))


def folder(config: Settings, usecase: str) -> str:
    """Name the folder of a use case's lines."""
    return f"{_ROOT}/{config.environment}/{usecase}"


def id_of(name: str) -> str:
    """Return the id of the line that an object holds."""
    return name.rpartition("/")[2].removesuffix(_ENDING)


def _mark(config: Settings, usecase: str, id: str) -> str:
    return f"{folder(config, usecase)}/{_PENDING}/{id}"
