"""A subject of an erasure in the log of sample events, and what of it is left anywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from monitoring.erasure.subject import Subject
from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from slipway.settings import Settings
from tests.support.prediction_log.sample_events import USECASE, label, prediction

KEY, OTHER, ROW_KEY = "customer-7", "customer-8", "0123456789abcdef0123456789abcdef"
BY_KEY, BY_ROW_KEY = Subject(USECASE, "key", KEY), Subject(USECASE, "row_key", ROW_KEY)
OTHERS = ["b", "c", "d"]


def write_events(write: Callable[..., None]) -> None:
    """Write a segment with predictions of the subject and of others, one with a shadow's, and one with labels."""
    write(
        prediction("a", 0, key=KEY, row_key=ROW_KEY),
        prediction("b", 1, key=OTHER, row_key="f" * 32),
        prediction("c", 2),
    )
    # The shadow's schema is another one, and gives the row another key.
    write(
        prediction("a", 3, key=KEY, row_key="e" * 32, role="shadow", answered=False),
        prediction("d", 4, key=OTHER),
    )
    write(
        label(60, 60, row="a", label="bad"),
        label(61, 61, key=KEY, label="good"),
        label(62, 62, row="b", label="good"),
        label(63, 63, key=OTHER, label="bad"),
        stream="feedback",
    )


def ship(config: Settings) -> None:
    assert not Shipper(config, [ParquetSink(config)]).ship().failed


def left_of(config: Settings, *texts: str) -> list[str]:
    """Name the files, in log and state folder, that hold any of these texts, as bytes or in a column of Parquet."""
    roots = {Path(config.log_root), config.var}
    files = {path for root in roots for path in root.rglob("*") if path.is_file() and path.name != "mask.key"}
    return sorted(path.name for path in files if _holds(path, texts))


def _holds(path: Path, texts: tuple[str, ...]) -> bool:
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        rows = duckdb.sql(f"SELECT * FROM read_parquet('{path}', hive_partitioning = false)").fetchall()
        content = repr(rows).encode()
    return any(text.encode() in content for text in texts)
