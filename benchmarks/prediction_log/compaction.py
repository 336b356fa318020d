"""Time of reading the log before and after compaction: `make bench` writes it into docs/explanation/prediction-log.md.

A worker makes 5,760 files a day: of 15 events each at one prediction a second, of 1,500 at a hundred. Here a month is
scaled down in files, and the larger ones in events. Each reader is a process of its own, as a monitor is.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.statistics.drift import write
from benchmarks.tables.reader import apart
from slipway.contracts.events.prediction_event import PREDICTION_COLUMNS
from slipway.prediction_log import Compactor, Log, connect
from slipway.prediction_log.layout import partitions
from slipway.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "prediction-log.md"
USECASE = "benchmark"
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
READERS: dict[str, Callable[[Log, int], object]] = {
    "all events, counted": lambda log, _: log.predictions(USECASE).aggregate("count(*)").fetchall(),
    "sample of 10,000 events": lambda log, _: log.sample(USECASE).fetchall(),
    "events of the last day, counted": lambda log, days: (
        log.predictions(USECASE, START + (days - 1) * DAY).aggregate("count(*)").fetchall()
    ),
}
_FEATURES = ", ".join(f"'feature_{n}', round(random(), 4)" for n in range(20))
_COLUMNS = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in PREDICTION_COLUMNS.items())
_EVENTS = f"""SELECT * REPLACE (
    '{{start}}'::TIMESTAMPTZ + to_microseconds(n * {{micros}}) AS "@timestamp",
    format('{{{{:012x}}}}-0:champion:1', {{first}} + n) AS "event.id", 'success' AS "event.outcome",
    format('{{{{:012x}}}}-0', {{first}} + n) AS "slipway.row_id", md5((random())::VARCHAR) AS "trace.id",
    '{USECASE}' AS "slipway.usecase", '1' AS "slipway.model_version", repeat('b', 64) AS "slipway.bundle_sha256",
    'champion' AS "slipway.role", true AS "slipway.answered", json_object({_FEATURES}) AS "slipway.features",
    'good' AS "slipway.label", random() AS "slipway.score"
) FROM (SELECT n, {_COLUMNS} FROM range({{rows}}) AS _(n))"""


def settings(folder: Path) -> Settings:
    return Settings(var=folder)


def write_log(folder: Path, days: int, files: int, rows: int) -> None:
    """Write the files of every date, each as the shipper writes it."""
    root = Path(settings(folder).log_root) / partitions(settings(folder), "prediction", USECASE)
    micros = int(DAY.total_seconds() * 1e6) // (files * rows)
    connection = connect(settings(folder), small=True)
    for file in range(days * files):
        start = START + timedelta(microseconds=file * rows * micros)
        date = root / f"{start:%Y-%m-%d}"
        date.mkdir(parents=True, exist_ok=True)
        events = _EVENTS.format(start=start.isoformat(), micros=micros, first=file * rows, rows=rows)
        target = date / f"prediction-{start:%Y%m%dT%H%M%S%fZ}-1-{file:08x}.parquet"
        connection.execute(f"COPY (SELECT * EXCLUDE (n) FROM ({events})) TO '{target}' (COMPRESSION zstd)")


def read(folder: Path, reader: str, days: int) -> float:
    """Read once, in this process; returns seconds."""
    started = time.perf_counter()
    READERS[reader](Log(settings(folder)), days)
    return time.perf_counter() - started


def compact(folder: Path, days: int) -> tuple[float, float]:
    """Compact every date, and remove what was combined; returns the seconds and the MB beyond those before."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    compactor, now = Compactor(settings(folder)), START + (days + 1) * DAY
    for hours in (0, 1):
        compactor.compact(USECASE, "prediction", now + timedelta(hours=hours))
    seconds = time.perf_counter() - started
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def measured(folder: Path, days: int, runs: int) -> dict[str, float]:
    """Count the files and their MB, and take the median seconds of each reader."""
    files = list(Path(settings(folder).log_root).rglob("*.parquet"))
    found = {"files": float(len(files)), "MB": sum(path.stat().st_size for path in files) / 1e6}
    for reader in READERS:
        found[f"{reader}, s"] = median(apart(read, folder, reader, days) for _ in range(runs))
    return found


def table(before: dict[str, float], after: dict[str, float], head: str, compacted: tuple[float, float]) -> list[str]:
    """Format the lines of the page."""
    lines = [f"| {head} | small files | compacted | ratio |", "| --- | ---: | ---: | ---: |"]
    for name, value in before.items():
        digits = 0 if name == "files" else 1
        lines.append(f"| {name} | {value:,.{digits}f} | {after[name]:,.{digits}f} | {value / after[name]:.1f} |")
    seconds, memory = compacted
    return [*lines, "", f"Compaction took {seconds:.0f} s on one core, and {memory:.0f} MB of memory."]


def main() -> None:
    """Run the benchmark and write its table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30, help="dates (default: 30)")
    parser.add_argument("--files", type=int, default=192, help="files of a date (default: 192)")
    parser.add_argument("--rows", type=int, nargs="+", default=[15, 500], help="events of a file (default: 15 and 500)")
    parser.add_argument("--runs", type=int, default=3, help="runs, whose medians count (default: 3)")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the tables into")
    options = parser.parse_args()
    lines: list[str] = []
    for rows in options.rows:
        lines += [*([""] if lines else []), *compared(options.days, options.files, rows, options.runs)]
    write(lines, options.page)
    sys.stdout.write("\n".join(lines) + f"\nwritten to {options.page}\n")


def compared(days: int, files: int, rows: int, runs: int) -> list[str]:
    """Measure a log before and after its compaction."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        apart(write_log, folder, days, files, rows)
        before = measured(folder, days, runs)
        compacted = apart(compact, folder, days)
        after = measured(folder, days, runs)
    return table(before, after, f"{days} dates of {files:,} files of {rows:,} events", compacted)


if __name__ == "__main__":
    main()
