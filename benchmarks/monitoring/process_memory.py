"""Memory of watch, shipper and monitor: `make bench` writes it into docs/explanation/monitoring-performance.md.

Watch and shipper take their passes without the pauses between them: the watch reads a registry whose champion changes,
from a stub of MLflow and of a server, the shipper finds segments. A monitor is a new process for each verdict.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.monitoring import generated_log
from benchmarks.monitoring.child_process import Measured, measure
from benchmarks.monitoring.monitor_run import run_monitor
from benchmarks.monitoring.stub_servers import StubRegistry, served
from benchmarks.pages import write
from benchmarks.tables.reader import apart

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "monitoring-performance.md"
PART = "memory"
MOST_MB, MOST_GROWTH = 300, 1.05
SETTLED = 1_000
"""Passes after which caches are full: what grows later is a leak."""
_READS_PER_VERSION = 5_000  # of the registry by the watch, which has some five in a pass


def passes_of(process: str, passes: int, environment: Mapping[str, str]) -> tuple[dict[int, float], Measured]:
    """Take passes in a process of their own; returns its memory after some of them, and what it took."""
    found = measure(["-m", "benchmarks.monitoring.long_running", process, str(passes)], environment)
    return {int(number): float(mb) for number, mb in map(str.split, found.output.splitlines())}, found


def monitor_peak(home: Path, rows: int, registry: str, detailed: bool) -> float:
    """Run `slipway monitor` on the log, with its report and its run in MLflow; returns the MB at the peak."""
    found, verdict = run_monitor(home, rows, detailed=detailed, registry=registry)
    assert verdict["missing_reports"] == []
    return found.peak_mb


def table(passes: Mapping[str, Mapping[int, float]], monitors: Mapping[str, float]) -> list[str]:
    """Format the lines of the page; memory is flat where it stays after the first tenth of the passes or so."""
    lines = ["| passes of | number | MB after 100 | after 1,000 | after the last | last / 1,000th | must be | met |"]
    lines += ["| --- |" + " ---: |" * 6 + " --- |"]
    for name, found in passes.items():
        number = max(found)
        growth = found[number] / found[SETTLED]
        met = found[number] <= MOST_MB and growth <= MOST_GROWTH
        shown = " | ".join(f"{found[mark]:.0f}" for mark in (100, SETTLED, number))
        limits = f"≤ {MOST_MB} MB, ≤ {MOST_GROWTH}"
        lines.append(f"| {name} | {number:,} | {shown} | {growth:.2f} | {limits} | {'yes' if met else '**no**'} |")
    lines += ["", "| a process of | MB at the peak | must be | met |", "| --- | ---: | ---: | --- |"]
    for name, peak in monitors.items():
        lines.append(f"| {name} | {peak:.0f} | ≤ {MOST_MB} MB | {'yes' if peak <= MOST_MB else '**no**'} |")
    return lines


def main() -> None:
    """Run the benchmark and write its table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--passes", type=int, default=10_000, help="passes of watch and shipper, at least 1,000 (default: 10,000)"
    )
    parser.add_argument("--files", type=int, default=4, help="files of a monitor's log (default: 4)")
    parser.add_argument("--file-rows", type=int, default=generated_log.FILE_ROWS, help="events of a file")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the tables into")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary, served(StubRegistry(generated_log.NAME, _READS_PER_VERSION)) as url:
        home = Path(temporary)
        apart(generated_log.write, home / "monitor", options.file_rows)
        apart(generated_log.add_day, home / "monitor", 1, options.files, options.file_rows)
        rows = options.files * options.file_rows
        monitors = {
            f"`slipway monitor`, {count:,} predictions{text}": monitor_peak(home / "monitor", count, url, detailed)
            for count, text, detailed in (
                (min(rows, 10_000), "", False),
                (rows, "", False),
                (rows, ", with Evidently's page", True),
            )
        }
        found = {
            f"`slipway {process}`": passes_of(process, options.passes, environment(home / process, url))[0]
            for process in ("watch", "ship")
        }
    lines = table(found, monitors)
    write(lines, options.page, PART)
    sys.stdout.write("\n".join(lines) + f"\nwritten to {options.page}\n")


def environment(home: Path, url: str) -> dict[str, str]:
    """The settings of a watch or a shipper, whose servers are the stub."""
    return {**generated_log.environment(home, url), "SLIPWAY_SERVERS": url, "PREFECT_API_URL": f"{url}/api"}


if __name__ == "__main__":
    main()
