"""Time of the dashboards' queries on a day of 20 models: `make bench` writes it into docs/how-to/use-grafana.md.

A real Prometheus has a day of 20 models with three versions on two servers. It gets every committed query as Grafana
sends it for that day on a panel that is 1,500 pixels wide, with one, several and all values of each variable. What
counts is the processor time of Prometheus, since the clock shows what else the machine does.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import yaml

from benchmarks.dashboards import recorded_day
from benchmarks.dashboards.recorded_day import BLOCK, DAY, MODELS, NAMESPACE, ROLES, SCRAPE, SERVERS, USECASES
from benchmarks.pages import write
from grafana.interpolation import DASHBOARDS, Query, filled, intervals, queries, variables
from scenarios.harness.prometheus_client import Prometheus
from slipway.clients.http import is_healthy
from slipway.local.monitoring_servers import PROGRAMS, RULES
from slipway.system.ports import free_port
from slipway.system.processes import Process, RunningProcess

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-grafana.md"
MOST_SECONDS = 2.0
STEP = 60  # Grafana's for a day on 1,500 pixels
_ONE = {"namespace": NAMESPACE, "usecase": USECASES[0], "version": "2", "process": "worker-1", "metric": "roc_auc"}
CHOICES: dict[str, dict[str, str | list[str]]] = {
    "one": {**_ONE},
    "several": {**_ONE, "usecase": USECASES[::2], "version": list(ROLES)[:2], "process": ["worker-1", "watch"]},
    "all": {},
}


@dataclass(frozen=True)
class Timing:
    """Processor time of a query with the values of a choice."""

    query: Query
    choice: str
    seconds: float


def filled_query(query: Query, choice: str) -> str:
    """Return the query with a choice of values; a variable that takes one at a time has one in every choice."""
    known = variables(query.dashboard)
    chosen = {name: CHOICES[choice].get(name) if known[name].get("includeAll") else _ONE.get(name) for name in known}
    own = intervals(SCRAPE, range_seconds=DAY, step_seconds=STEP)
    return filled(query, {name: value for name, value in chosen.items() if value}, own)


def write_blocks(data: Path, promtool: str, end: int) -> None:
    """Have promtool write the blocks of the day before `end`, two at a time: their text is larger than they are."""
    first = end - DAY
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(partial(_write_block, data, promtool, first), range(first, end, BLOCK)))


def _write_block(data: Path, promtool: str, first: int, start: int) -> None:
    samples = data.parent / f"{start}.txt"
    with samples.open("w") as file:
        file.writelines(recorded_day.block(start, first))
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", samples, data], capture_output=True, check=True
    )
    samples.unlink()


@contextmanager
def started(folder: Path, program: str) -> Iterator[tuple[Prometheus, psutil.Process]]:
    """Start a Prometheus on the blocks, with the rules of the project, which it evaluates meanwhile."""
    config, port = folder / "prometheus.yml", free_port(9190)
    config.write_text(yaml.safe_dump({"rule_files": [str(RULES / "*.yml")]}))
    url = f"http://127.0.0.1:{port}"
    argv = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    argv.append(f"--web.listen-address=127.0.0.1:{port}")
    process = RunningProcess(Process("prometheus", tuple(argv), folder / "log", health_url=f"{url}/-/ready"))
    try:
        process.wait_ready(60, is_healthy)
        yield Prometheus(url), psutil.Process(process.pid)
    finally:
        process.stop()


def timed(prometheus: Prometheus, process: psutil.Process, end: int, runs: int) -> Iterator[Timing]:
    """Time each query with each choice, one after the other: the median of the runs."""
    for choice in CHOICES:
        for query in queries():
            ask = partial(_ask, prometheus, query.instant, filled_query(query, choice), end)
            if not ask():
                raise RuntimeError(f"the day has no series for {choice} of {query}")
            yield Timing(query, choice, median(_processor_seconds(process, ask) for _ in range(runs)))


def _processor_seconds(process: psutil.Process, ask: Callable[[], object]) -> float:
    before = process.cpu_times()
    ask()
    after = process.cpu_times()
    return after.user + after.system - before.user - before.system


def _ask(prometheus: Prometheus, instant: bool, expression: str, end: int) -> list[dict[str, Any]]:
    if instant:
        return prometheus.instant(expression, end)
    return prometheus.range(expression, end - DAY, end, STEP)


def table(found: list[Timing], series: int) -> list[str]:
    """Format the lines of the page."""
    lines = [
        f"{MODELS} models of {len(ROLES)} versions on {SERVERS} servers are {series:,} series.",
        "",
        "| dashboard | queries | slowest | which | at most |",
        "| --- | ---: | ---: | --- | ---: |",
    ]
    for uid, dashboard in DASHBOARDS.items():
        own = [one for one in found if one.query.dashboard == uid]
        slowest = max(own, key=lambda one: one.seconds)
        lines.append(
            f"| {dashboard['title'].removeprefix('Slipway: ')} | {len(own)} | {slowest.seconds:.2f} s | "
            f"{slowest.query.panel}, {slowest.choice} | {MOST_SECONDS:g} s |"
        )
    return lines


def measured(program: str, promtool: str, runs: int) -> list[str]:
    """Write the day, query it, and return the lines of the page."""
    end = int(time.time()) // BLOCK * BLOCK
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_blocks(folder / "data", promtool, end)
        with started(folder, program) as (prometheus, process):
            return table(list(timed(prometheus, process, end, runs)), recorded_day.count())


def main() -> None:
    """Run the benchmark and write its table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of a query, whose median counts (default: 3)")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the table into")
    options = parser.parse_args()
    program, promtool = shutil.which("prometheus"), shutil.which("promtool")
    if program is None or promtool is None:
        sys.stdout.write(f"Left out: no Prometheus is installed. {PROGRAMS['prometheus'].installation}\n")
        return
    lines = measured(program, promtool, options.runs)
    write(lines, options.page)
    sys.stdout.write("\n".join(lines) + f"\nwritten to {options.page}\n")


if __name__ == "__main__":
    main()
