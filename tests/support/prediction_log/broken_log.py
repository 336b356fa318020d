"""A prediction log with broken files beside the sound ones."""

from __future__ import annotations

from datetime import UTC, datetime

from slipway.prediction_log.layout import partitions
from slipway.settings import Settings
from slipway.storage import object_store

FILES = {"garbage.parquet": b"\x00\xff" * 3_000, "empty.parquet": b"", "half.parquet": b"PAR1" + bytes(500)}


def break_log(config: Settings, usecase: str, day: datetime | None = None) -> list[str]:
    """Put three broken files beside the predictions and the feedback of a day, today by default; return their names."""
    date = f"{day or datetime.now(UTC):%Y-%m-%d}"
    names = []
    for stream in ("prediction", "feedback"):
        for name, content in FILES.items():
            names.append(f"{partitions(config, stream, usecase)}/{date}/{name}")
            object_store(config).put(names[-1], content)
    return names
