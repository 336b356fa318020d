"""Time and memory of a drift verdict: `make bench` writes them into docs/explanation/monitoring-performance.md.

`slipway monitor` runs as a process of its own on two cores, from its start to the written verdict and its page, on all
predictions of a generated log with 20 features. Evidently gets the rows of the log in a data frame, and only its own
time counts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.monitoring import generated_log
from benchmarks.monitoring.child_process import Measured, measure
from benchmarks.monitoring.monitor_run import run_monitor
from benchmarks.pages import write
from benchmarks.tables.reader import apart

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "monitoring-performance.md"
PART = "verdict"
MOST_SECONDS, MOST_MB, LEAST_RATIO = 20, 600, 15
_MANY, _FEW = 40, 4  # files of 250,000 predictions


@dataclass(frozen=True)
class Verdict:
    """A verdict on a log: its predictions, the MB of their files, and the median run."""

    rows: int
    log_mb: float
    seconds: float
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Evidently:
    """Evidently's seconds on the same rows, and the memory of its process."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def monitor(home: Path, rows: int) -> Measured:
    """Run `slipway monitor` on all predictions of the log."""
    found, verdict = run_monitor(home, rows)
    assert (verdict["verdict"], verdict["window"]["rows"]) == ("none", rows), verdict["sentence"]
    return found


def median_verdict(home: Path, rows: int, runs: int) -> Verdict:
    found = [monitor(home, rows) for _ in range(runs)]
    size = sum(path.stat().st_size for path in generated_log.log_folder(home).rglob("*.parquet")) / 1e6
    return Verdict(
        rows,
        size,
        median(one.seconds for one in found),
        median(one.cpu_seconds for one in found),
        max(one.peak_mb for one in found),
    )


def evidently(home: Path) -> Evidently:
    found = measure(["-m", "benchmarks.monitoring.evidently_preset", str(home)], {})
    own = json.loads(found.output)
    return Evidently(own["seconds"], own["cpu_seconds"], found.peak_mb)


def measured_small(files: int, file_rows: int, runs: int) -> tuple[Verdict, Evidently]:
    """Measure a verdict and Evidently on a new log, which is removed afterwards."""
    with TemporaryDirectory() as temporary:
        home = Path(temporary)
        apart(generated_log.write, home, file_rows)
        apart(generated_log.add_day, home, 1, files, file_rows)
        return median_verdict(home, files * file_rows, runs), evidently(home)


def measured_large(files: int, file_rows: int, runs: int, days: int) -> list[Verdict]:
    """Measure a verdict on a new log after each of its days, which is removed afterwards."""
    with TemporaryDirectory() as temporary:
        home = Path(temporary)
        apart(generated_log.write, home, file_rows)
        found = []
        for day in range(1, days + 1):
            apart(generated_log.add_day, home, day, files, file_rows)
            found.append(median_verdict(home, day * files * file_rows, runs))
    return found


def table(few: Verdict, large: Sequence[Verdict], alone: Evidently) -> list[str]:
    """Format the lines of the page; `large` are the verdicts on a log of one day, of two, and so on."""
    many, *longer = large
    ratio = alone.seconds / few.seconds
    figures = [
        (f"{many.rows:,} predictions", f"{many.seconds:.1f} s", f"≤ {MOST_SECONDS} s", many.seconds <= MOST_SECONDS),
        ("the same, peak of memory", f"{many.peak_mb:.0f} MB", f"≤ {MOST_MB} MB", many.peak_mb <= MOST_MB),
        (f"{few.rows:,} against Evidently alone", f"1 / {ratio:.1f}", f"≤ 1 / {LEAST_RATIO}", ratio >= LEAST_RATIO),
    ]
    for more in longer:
        growth, most = more.seconds / many.seconds, more.rows / many.rows
        figures.append((f"{more.rows:,} against {many.rows:,}", f"{growth:.2f} ×", f"≤ {most:g} ×", growth <= most))
    lines = ["| a drift verdict on | measured | must be | met |", "| --- | ---: | ---: | --- |"]
    lines += [f"| {name} | {value} | {limit} | {'yes' if met else '**no**'} |" for name, value, limit, met in figures]
    lines += ["", "| process | predictions | MB of Parquet | seconds | of CPU | MB at the peak |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: |"]
    for one in (few, *large):
        costs = f"{one.seconds:.1f} | {one.cpu_seconds:.1f} | {one.peak_mb:.0f}"
        lines.append(f"| `slipway monitor` | {one.rows:,} | {one.log_mb:,.0f} | {costs} |")
    costs = f"{alone.seconds:.1f} | {alone.cpu_seconds:.1f} | {alone.peak_mb:.0f}"
    return [*lines, f"| Evidently's preset | {few.rows:,} | in a data frame | {costs} |"]


def main() -> None:
    """Run the benchmark and write its table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=_MANY, help=f"files of the large log (default: {_MANY})")
    parser.add_argument("--days", type=int, default=2, help="days of the large log, measured after each (default: 2)")
    parser.add_argument("--few", type=int, default=_FEW, help=f"files of the log for Evidently (default: {_FEW})")
    parser.add_argument(
        "--file-rows", type=int, default=generated_log.FILE_ROWS, help="predictions of a file (default: 250,000)"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs, whose medians count (default: 3)")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the tables into")
    options = parser.parse_args()
    few, alone = measured_small(options.few, options.file_rows, options.runs)
    lines = table(few, measured_large(options.files, options.file_rows, options.runs, options.days), alone)
    write(lines, options.page, PART)
    sys.stdout.write("\n".join(lines) + f"\nwritten to {options.page}\n")


if __name__ == "__main__":
    main()
