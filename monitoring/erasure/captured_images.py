"""Captured images that no event has any more: one is kept once, for all use cases and environments of a log."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import msgspec

from monitoring.erasure.partition_reader import PartitionReader, among
from slipway.prediction_log import IMAGES, segments
from slipway.prediction_log.layout import usecases
from slipway.prediction_log.segments import open_lines
from slipway.settings import Settings
from slipway.storage import object_store

# Any text that may be a digest: rather an image too many is kept than one too few.
_DIGESTS = "DISTINCT unnest(regexp_extract_all(\"slipway.features\"::VARCHAR, '[0-9a-f]{64}'))"


def unused(config: Settings, images: Collection[str], rows: Collection[str]) -> set[str]:
    """Choose the images that no event has but those of these rows.

    Raises:
        ServiceError, OSError: the log cannot be read.
    """
    left = set(images)
    for found in _digests(config, images, rows):
        left -= found
        if not left:
            break
    return left


def remove(config: Settings, images: Collection[str]) -> None:
    """Remove images from the log, and from this machine's spool. Raises ServiceError or OSError."""
    store = object_store(config)
    for digest in sorted(images):
        for folder in _spooled(config):
            (config.spool / folder / IMAGES / digest).unlink(missing_ok=True)
        # An event that comes with the same image at this moment is without it, as where none is captured.
        store.remove(f"{IMAGES}/{digest}")


def _digests(config: Settings, images: Collection[str], rows: Collection[str]) -> Iterator[set[str]]:
    """Give the digests in the spool, and those in each partition: the spool first, as whoever reads the log does."""
    for usecase in _spooled(config) if images else ():
        yield _in_spool(config, usecase, images, rows)
    store, where = object_store(config), f"NOT {among('slipway.row_id', sorted(rows))}"
    for environment in store.names("predictions") if images else ():
        there = config.model_copy(update={"environment": environment, "log_url": config.log_root})
        for usecase in usecases(store, there):
            reader = PartitionReader(there)
            for at in reader.partitions("prediction", usecase):
                yield {digest for (digest,) in reader.query(at, [*at.files], _DIGESTS, where)}


def _in_spool(config: Settings, usecase: str, images: Collection[str], rows: Collection[str]) -> set[str]:
    found: set[str] = set()
    wanted = re.compile("|".join(map(re.escape, sorted(images))).encode())
    ids = [b'"row_id":%b' % msgspec.json.encode(row) for row in rows]
    own = re.compile(b"|".join(map(re.escape, ids))) if ids else None
    for segment in segments(config.spool, usecase, "prediction"):
        if file := open_lines(segment):
            with file:
                others = (line for line in file if not (own and own.search(line)))
                found |= {digest.decode() for line in others for digest in wanted.findall(line)}
    return found


def _spooled(config: Settings) -> list[str]:
    return sorted(path.name for path in config.spool.iterdir() if path.is_dir()) if config.spool.is_dir() else []
