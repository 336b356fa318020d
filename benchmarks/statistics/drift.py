"""False-alarm rate and power of drift detection: `make bench` writes the table in docs/explanation/drift.md.

A made-up population of 20 features (correlated numbers, heavy tails, counts, common and rare categories, missing
values) is sampled anew in every run, reference and window, and compared as live data is
(`monitoring.analysis.drift.compare`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from benchmarks.pages import write
from monitoring.analysis.drift import Column, DriftResult, Thresholds, compare

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "drift.md"
REFERENCES = (800, 50_000)
WINDOWS = (200, 1_000, 10_000)
DETECTION_ROWS = 1_000
THRESHOLDS = Thresholds(significance=0.05)

_MISSING = {"normal_1": 0.05, "tail_2": 0.2, "category_4": 0.01, "count": 0.001}
_NUMBERS = [f"normal_{i}" for i in range(6)] + [f"tail_{i}" for i in range(4)] + ["count", "rating", "mostly_zero"]
_CATEGORIES = {"category_2": 2, "category_4": 4, "category_8": 8, "category_50": 50, "category_1000": 1000}
COLUMNS = (
    *(Column(name, "number") for name in _NUMBERS),
    *(Column(name, "category") for name in _CATEGORIES),
    Column("flag", "boolean"),
    Column("rare_flag", "boolean"),
)


def population(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Draw independent rows: numbers share one hidden factor, categories of k values follow Zipf's law."""
    factor = rng.normal(size=rows)
    table: dict[str, np.ndarray] = {f"normal_{i}": 0.6 * factor + 0.8 * rng.normal(size=rows) for i in range(6)}
    table |= {f"tail_{i}": np.exp(0.6 * factor + 0.8 * rng.normal(size=rows)) for i in range(2)}
    table |= {f"tail_{i}": rng.standard_t(3, size=rows) for i in range(2, 4)}
    table["count"] = rng.poisson(3, size=rows).astype(float)
    table["rating"] = rng.integers(1, 5, size=rows).astype(float)
    table["mostly_zero"] = np.where(rng.random(rows) < 0.9, 0.0, rng.exponential(size=rows))
    for name, k in _CATEGORIES.items():
        shares = 1 / np.arange(1, k + 1)
        table[name] = rng.choice(k, size=rows, p=shares / shares.sum()).astype(object)
    table["flag"] = np.where(rng.random(rows) < 0.3, "true", "false").astype(object)
    table["rare_flag"] = np.where(rng.random(rows) < 0.002, "true", "false").astype(object)
    for name, share in _MISSING.items():
        table[name][rng.random(rows) < share] = np.nan if table[name].dtype.kind == "f" else None
    return table


def shift_number(name: str, deviation: float, table: dict[str, np.ndarray], _: np.random.Generator) -> None:
    """Add half of the population's standard deviation."""
    table[name] = table[name] + deviation / 2


def shift_share(name: str, value: object, share: float, table: dict, rng: np.random.Generator) -> None:
    """Raise a value's share by half the standard deviation of "is it this value"."""
    wanted = share + np.sqrt(share * (1 - share)) / 2
    table[name][rng.random(len(table[name])) < (wanted - share) / (1 - share)] = value


LOGNORMAL_DEVIATION = float(np.sqrt((np.e - 1) * np.e))
SHIFTS: dict[str, tuple[str, Callable]] = {
    "a number (normal)": ("normal_0", partial(shift_number, "normal_0", 1.0)),
    "a number with 5 % missing": ("normal_1", partial(shift_number, "normal_1", 1.0)),
    "a number with a heavy tail (log-normal)": ("tail_0", partial(shift_number, "tail_0", LOGNORMAL_DEVIATION)),
    "a number with heavy tails (Student, 3 d.f.)": ("tail_3", partial(shift_number, "tail_3", float(np.sqrt(3)))),
    "a count (Poisson, mean 3)": ("count", partial(shift_number, "count", float(np.sqrt(3)))),
    "a category's share (30 %)": ("flag", partial(shift_share, "flag", "true", 0.3)),
    "the share of missing values (20 %)": ("tail_2", partial(shift_share, "tail_2", np.nan, 0.2)),
}


@dataclass(frozen=True)
class Rate:
    """`hits` of `runs`, with the exact (Clopper–Pearson) 95 % interval."""

    hits: int
    runs: int

    @property
    def interval(self) -> tuple[float, float]:
        found = binomtest(self.hits, self.runs).proportion_ci(0.95, method="exact")
        return found.low, found.high

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.hits / self.runs:.1f} % ({100 * low:.1f} – {100 * high:.1f})"


def findings_without_drift(seed: int, reference_rows: int, window_rows: tuple[int, ...]) -> list[list[DriftResult]]:
    """Run once: a fresh reference and, against it, a fresh window of each size."""
    rng = np.random.default_rng([seed, reference_rows])
    reference = population(rng, reference_rows)
    return [compare(reference, population(rng, rows), COLUMNS, THRESHOLDS) for rows in window_rows]


def alarms(seed: int, reference_rows: int, window_rows: tuple[int, ...]) -> list[tuple[bool, bool]]:
    """Tell for each window size whether there is an alarm, with and without the minimum effect."""
    return [
        (any(f.drifted for f in found), any(f.adjusted_p <= THRESHOLDS.significance for f in found))
        for found in findings_without_drift(seed, reference_rows, window_rows)
    ]


def names_the_shifted(seed: int, reference_rows: int, shift: str) -> tuple[bool, bool]:
    """Tell whether a shift of half a standard deviation is found in its feature, and in no other."""
    name, apply = SHIFTS[shift]
    rng = np.random.default_rng([seed, reference_rows, list(SHIFTS).index(shift)])
    reference, window = population(rng, reference_rows), population(rng, DETECTION_ROWS)
    apply(window, rng)
    drifted = {f.name for f in compare(reference, window, COLUMNS, THRESHOLDS) if f.drifted}
    return name in drifted, drifted <= {name}


def _rates(results: list[tuple[bool, bool]]) -> tuple[Rate, Rate]:
    return tuple(Rate(sum(result[i] for result in results), len(results)) for i in (0, 1))


def false_alarm_rows(pool: ProcessPoolExecutor, runs: int) -> Iterator[str]:
    for reference_rows in REFERENCES:
        run = partial(alarms, reference_rows=reference_rows, window_rows=WINDOWS)
        results = list(pool.map(run, range(runs), chunksize=10))
        for i, rows in enumerate(WINDOWS):
            alarm, by_significance = _rates([result[i] for result in results])
            yield f"| {reference_rows:,} | {rows:,} | {alarm} | {by_significance} |"


def detection_rows(pool: ProcessPoolExecutor, runs: int) -> Iterator[str]:
    for shift in SHIFTS:
        for reference_rows in REFERENCES:
            run = partial(names_the_shifted, reference_rows=reference_rows, shift=shift)
            named, alone = _rates(list(pool.map(run, range(runs), chunksize=10)))
            yield f"| {shift} | {reference_rows:,} | {named} | {alone} |"


def tables(pool: ProcessPoolExecutor, runs: int, detection_runs: int) -> Iterator[str]:
    """Yield the benchmark's Markdown, line by line as it is measured."""
    stated = f"{100 * THRESHOLDS.significance:g} %"
    yield f"Alarms over {runs:,} runs without drift; the stated rate is {stated} for all 20 features together."
    yield ""
    yield "| reference rows | window rows | alarms (exact 95 % interval) | the same without the minimum effect |"
    yield "| ---: | ---: | ---: | ---: |"
    yield from false_alarm_rows(pool, runs)
    yield ""
    yield f"Half a standard deviation in one feature, windows of {DETECTION_ROWS:,} rows, {detection_runs:,} runs each."
    yield ""
    yield "| what moved | reference rows | found and named | no other named |"
    yield "| --- | ---: | ---: | ---: |"
    yield from detection_rows(pool, detection_runs)


def main() -> None:
    """Run the benchmark and write its tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000, help="runs without drift (default: 1,000)")
    parser.add_argument("--detection-runs", type=int, default=200, help="runs of each shift (default: 200)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one per core)")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the tables into")
    options = parser.parse_args()
    started, lines = time.monotonic(), []
    with ProcessPoolExecutor(options.jobs) as pool:
        for line in tables(pool, options.runs, options.detection_runs):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            lines.append(line)
    write(lines, options.page)
    sys.stdout.write(f"\n{time.monotonic() - started:.0f} s; written to {options.page}\n")


if __name__ == "__main__":
    main()
