"""Journal of an erasure that is under way: `erasures/ENVIRONMENT/USECASE/DIGEST.json` under SLIPWAY_LOG_URL.

It holds what was found of the subject before any of it is removed, so that the same command, or another machine, goes
on after a kill at any step. It goes with the last step, and nothing in the log names the subject any more.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from monitoring.erasure.subject import Subject, Traces
from slipway.errors import DataError, NotFound, ServiceError
from slipway.ids import uuid7
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.timestamps import now_iso


class Record(msgspec.Struct):
    """What a journal holds. `id` is what the audit line names the erasure by, `why` is the reason in it."""

    id: str
    began: str
    subject: Subject
    why: str
    traces: Traces


class Journal:
    """The journal of one erasure; `record` is saved by `save`, and nowhere while the erasure is a dry run."""

    def __init__(self, config: Settings, record: Record, *, dry_run: bool) -> None:
        self.record = record
        self._dry_run = dry_run
        self._store = object_store(config)
        self._folder = folder(config, record.subject.usecase)
        self._name = f"{self._folder}/{record.subject.digest(config.mask_secret())}.json"

    def save(self) -> None:
        """Write the record, before anything that it names is removed."""
        if not self._dry_run:
            self._store.put(self._name, msgspec.json.encode(self.record))

    def close(self) -> None:
        """Remove the journal, and with it the folder, in which a killed process may have left a draft of one."""
        self._store.remove(self._name)
        if not _names(self._store.names(self._folder)):
            self._store.remove_folder(self._folder)


def open_journal(config: Settings, subject: Subject, why: str = "", *, dry_run: bool = False) -> Journal:
    """Open the journal of an erasure that is under way, whose reason a new one replaces, or a new journal.

    Raises:
        ServiceError: an erasure of another subject is under way.
        DataError: the journal cannot be read.
        ServiceError, OSError: the log does not respond.
    """
    found = unfinished(config, subject.usecase)
    if found is None:
        return Journal(config, Record(uuid7(), now_iso(), subject, why, Traces()), dry_run=dry_run)
    if found.subject != subject:
        raise ServiceError(
            f"an erasure of another subject of {subject.usecase}, of {found.began}, is unfinished. Finish it first: "
            f"`slipway forget {subject.usecase} --resume`."
        )
    found.why = why or found.why
    return Journal(config, found, dry_run=dry_run)


def resume(config: Settings, usecase: str) -> Subject:
    """Read whom the unfinished erasure of a use case is about.

    Raises:
        NotFound: none is unfinished.
        DataError: the journal cannot be read.
    """
    found = unfinished(config, usecase)
    if found is None:
        raise NotFound(
            f"no erasure of {usecase} is unfinished in {config.environment}: give --key or --row-key to begin one."
        )
    return found.subject


def unfinished(config: Settings, usecase: str) -> Record | None:
    """Read the journal of the erasure that is under way; None if there is none."""
    store, root = object_store(config), folder(config, usecase)
    names = _names(store.names(root))
    if not names:
        return None
    try:
        return msgspec.json.decode(store.read(f"{root}/{names[0]}"), type=Record)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{store.url}/{root}/{names[0]} is no journal of an erasure ({error}): remove it, and begin anew."
        ) from None


def usecases(config: Settings) -> list[str]:
    """List the use cases that have an erasure under way in this environment."""
    return object_store(config).names(f"erasures/{config.environment}")


def folder(config: Settings, usecase: str) -> str:
    """Name the folder of a use case's journal."""
    return f"erasures/{config.environment}/{usecase}"


def _names(names: Iterable[str]) -> list[str]:
    """Choose the journals; a draft of one has another name."""
    return [name for name in names if not name.startswith(".")]
