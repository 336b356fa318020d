"""Time of reading the log before and after compaction: `make bench` writes it into docs/explanation/prediction-log.md.

A worker makes 5,760 files a day: of 15 events each at one prediction a second, of 1,500 at a hundred. Here a month is
scaled down in files, and the larger ones in events. Each reader is a process of its own, as a monitor is.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.pages import write
from benchmarks.tables.reader import apart
from monitoring.analysis import windows
from slipway.contracts.events.prediction_event import PREDICTION_COLUMNS
from slipway.contracts.schema import Feature, Schema
from slipway.prediction_log import Compactor, Log, connect
from slipway.prediction_log.layout import partitions
from slipway.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "prediction-log.md"
USECASE = "benchmark"
FEATURES = [f"feature_{number}" for number in range(20)]
SCHEMA = Schema(
    contract=1,
    usecase=USECASE,
    task="binary",
    features=tuple(Feature(name, "number") for name in FEATURES),
    target="outcome",
    classes=("good", "bad"),
    positive="bad",
)
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
READERS: dict[str, Callable[[Log, int], object]] = {
    "all events, counted": lambda log, _: log.predictions(USECASE).aggregate("count(*)").fetchall(),
    "sample of 10,000 events": lambda log, _: log.sample(USECASE).fetchall(),
    "events of the last day, counted": lambda log, days: (
        log.predictions(USECASE, START + (days - 1) * DAY).aggregate("count(*)").fetchall()
    ),
}


def count_by_day_and_label(log: Log, _: int) -> object:
    """Count the predictions of each day and label. `date_trunc` knows time zones, and takes four times as long."""
    day = 'make_timestamp(epoch_us("@timestamp"))::DATE'
    return log.predictions(USECASE).aggregate(f'{day} AS day, "slipway.label" AS label, count(*)').fetchall()


def window_of_last_day(log: Log, days: int) -> object:
    """Read the window of a monitor: its period, and the features of its sample."""
    period = windows.last_period(log, USECASE, START + (days - 1) * DAY, START + days * DAY)
    return windows.read(log, SCHEMA, period, lambda _: {}) if period else None


BUSY_READERS: dict[str, Callable[[Log, int], object]] = {
    "all, counted by day and label": count_by_day_and_label,
    "sample of 10,000": READERS["sample of 10,000 events"],
    "a monitor's window of the last day": window_of_last_day,
}
BUSY_FILES, BUSY_ROWS, BUSY_WORKERS = 640, 13_500, 5  # a hundred predictions per second
_FEATURES = ", ".join(f"'{name}', round(random(), 4)" for name in FEATURES)
_COLUMNS = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in PREDICTION_COLUMNS.items())
# As `slipway.ids` makes them: milliseconds, and 20 digits by chance.
_ROW_ID = "format('{{:012x}}-7{{}}-0', moment // 1000, md5((random() + n)::VARCHAR)[:20])"
_EVENTS = f"""SELECT * REPLACE (
    make_timestamptz(moment) AS "@timestamp", row_id || ':champion:1' AS "event.id", 'success' AS "event.outcome",
    row_id AS "slipway.row_id", md5((random())::VARCHAR) AS "trace.id", '{USECASE}' AS "slipway.usecase",
    '1' AS "slipway.model_version", repeat('b', 64) AS "slipway.bundle_sha256",
    'champion' AS "slipway.role", true AS "slipway.answered", json_object({_FEATURES}) AS "slipway.features",
    if(random() < 0.3, 'bad', 'good') AS "slipway.label", random() AS "slipway.score"
) FROM (
    SELECT {{start}} + n * {{micros}} AS moment, {_ROW_ID} AS row_id, {_COLUMNS} FROM range({{rows}}) AS _(n)
)"""


@dataclass(frozen=True)
class Busy:
    """A compacted log of some dates, and the seconds and MB of its readers."""

    dates: int
    events: int
    files: int
    bytes: int
    readers: dict[str, tuple[float, float]]


def settings(folder: Path) -> Settings:
    return Settings(var=folder)


def write_log(folder: Path, days: int, files: int, rows: int, first: int = 0, workers: int = 1) -> None:
    """Write the files of every date from the `first` on, each as the shipper writes it.

    Several workers write at the same time: the times and the ids of their files overlap.
    """
    root = Path(settings(folder).log_root) / partitions(settings(folder), "prediction", USECASE)
    micros = int(DAY.total_seconds() * 1e6) // (files * rows)
    connection = connect(settings(folder), small=True)
    for file in range(first * files, (first + days) * files):
        together, worker = divmod(file, workers)
        start = START + timedelta(microseconds=(together * workers * rows + worker) * micros)
        date = root / f"{start:%Y-%m-%d}"
        date.mkdir(parents=True, exist_ok=True)
        since = int(start.timestamp() * 1e6)
        events = _EVENTS.format(start=since, micros=workers * micros, rows=rows)
        target = date / f"prediction-{start:%Y%m%dT%H%M%S%fZ}-1-{file:08x}.parquet"
        ordered = f'SELECT * EXCLUDE (moment, row_id) FROM ({events}) ORDER BY "event.id"'
        connection.execute(f"COPY ({ordered}) TO '{target}' (COMPRESSION zstd)")


def read(folder: Path, name: str, days: int) -> tuple[float, float]:
    """Read once with the reader of this name, in this process; returns the seconds and the MB beyond those before."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    (READERS | BUSY_READERS)[name](Log(settings(folder)), days)
    seconds = time.perf_counter() - started
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


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
    for name in READERS:
        found[f"{name}, s"] = median(apart(read, folder, name, days)[0] for _ in range(runs))
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
    parser.add_argument("--busy", type=int, nargs="+", default=[1, 3], help="dates of a busy log (default: 1 and 3)")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the tables into")
    options = parser.parse_args()
    lines: list[str] = []
    for rows in options.rows:
        lines += [*([""] if lines else []), *compared(options.days, options.files, rows, options.runs)]
    lines += ["", *busy_table(measured_busy(options.busy, options.runs))]
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


def measured_busy(dates: Sequence[int], runs: int, files: int = BUSY_FILES, rows: int = BUSY_ROWS) -> list[Busy]:
    """Measure a compacted log that grows, of the numbers of dates."""
    found: list[Busy] = []
    with TemporaryDirectory() as temporary:
        folder, before = Path(temporary), 0
        for days in sorted(dates):
            for day in range(before, days):
                apart(write_log, folder, 1, files, rows, day, BUSY_WORKERS)
                apart(compact, folder, day + 1)
            before = days
            large = list(Path(settings(folder).log_root).rglob("*.parquet"))
            size = sum(path.stat().st_size for path in large)
            found.append(Busy(days, days * files * rows, len(large), size, read_busy(folder, days, runs)))
    return found


def read_busy(folder: Path, days: int, runs: int) -> dict[str, tuple[float, float]]:
    """Take the median seconds and MB of each reader of the busy log."""
    found = {}
    for name in BUSY_READERS:
        results = [apart(read, folder, name, days) for _ in range(runs)]
        found[name] = median(seconds for seconds, _ in results), median(mb for _, mb in results)
    return found


def busy_table(measured: Sequence[Busy]) -> list[str]:
    """Format the lines of the busy log."""
    names = "".join(f" {name}, s |" for name in BUSY_READERS)
    lines = [
        f"| dates | events | files | GB |{names} MB at most |",
        f"| {'---: | ' * (5 + len(BUSY_READERS))}".rstrip(),
    ]
    for one in measured:
        seconds = "".join(f" {seconds:.1f} |" for seconds, _ in one.readers.values())
        memory = max(mb for _, mb in one.readers.values())
        lines.append(f"| {one.dates} | {one.events:,} | {one.files} | {one.bytes / 1e9:.1f} |{seconds} {memory:.0f} |")
    return lines


if __name__ == "__main__":
    main()
