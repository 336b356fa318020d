"""Time and memory of reading a table: `make bench` writes them into docs/reference/tables.md.

A million rows of ten columns are read by pandas, which guesses what a cell means, and as a training reads its source,
each in a process of its own, in turn.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.pages import write
from pipelines.data import column_types, sources
from slipway.config import UseCase

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "tables.md"
NUMBERS = ["a", "b", "c", "d", "e"]
Measured = tuple[float, float]  # seconds of CPU, and MB beyond those before


def write_table(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=rows).round(4) for name in NUMBERS})
    frame.loc[::50, "a"] = np.nan
    frame["count"], frame["key"] = rng.integers(0, 1000, rows), rng.integers(0, 10**9, rows)
    frame["colour"] = rng.choice(["red", "green", "blue"], rows)
    frame["flag"], frame["y"] = rng.choice(["true", "false"], rows), rng.choice(["no", "yes"], rows)
    frame.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)


def usecase(path: Path) -> UseCase:
    kinds = {**dict.fromkeys(NUMBERS, "number"), "count": "integer", "key": "integer"}
    kinds |= {"colour": "category", "flag": "boolean"}
    return UseCase(
        name="table",
        owner="benchmarks",
        task="binary",
        source={"path": str(path)},
        features=[{"name": name, "kind": kind, "nullable": True} for name, kind in kinds.items()],
        target={"name": "y", "classes": ["no", "yes"], "positive": "yes"},
        folder=path.parent,
    )


def by_pandas(path: Path) -> None:
    pd.read_csv(path)


def by_slipway(path: Path) -> None:
    found = usecase(path)
    raw = sources.read(found)
    column_types.to_typed(raw.frame, found, raw.origin)


def measured(read: Callable[[Path], None], path: Path) -> Measured:
    """Run the reader once, in this process."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    read(path)
    used = time.process_time() - started
    return used, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in a process of its own; this one stays small, for its peak of memory is a child's first."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(function, arguments)


def compared(path: Path, runs: int) -> dict[str, Measured]:
    found: dict[str, list[Measured]] = {"pandas.read_csv": [], "Slipway": []}
    for _ in range(runs):
        for name, read in {"pandas.read_csv": by_pandas, "Slipway": by_slipway}.items():
            found[name].append(apart(measured, read, path))
    return {name: (median(used for used, _ in all), median(mb for _, mb in all)) for name, all in found.items()}


def table(found: dict[str, Measured], rows: int) -> list[str]:
    """Format the lines of the page."""
    (seconds, memory), (own_seconds, own_memory) = found.values()
    lines = [f"| {rows:,} rows of 10 columns | seconds of CPU | MB |", "| --- | --- | --- |"]
    lines += [f"| {name} | {used:.2f} | {mb:.0f} |" for name, (used, mb) in found.items()]
    return [*lines, f"| ratio | {own_seconds / seconds:.1f} | {own_memory / memory:.1f} |"]


def main() -> None:
    """Run the benchmark and write its table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (default: 1,000,000)")
    parser.add_argument("--runs", type=int, default=3, help="runs, whose medians count (default: 3)")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the table into")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        apart(write_table, path, options.rows)
        lines = table(compared(path, options.runs), options.rows)
    write(lines, options.page)
    sys.stdout.write("\n".join(lines) + f"\nwritten to {options.page}\n")


if __name__ == "__main__":
    main()
