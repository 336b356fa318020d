"""The benchmark of docs/explanation/drift.md, reduced and seeded: false alarms at the stated rate, shifts found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pages import BEGIN, END, write
from benchmarks.statistics.drift import PAGE, SHIFTS, Rate, alarms, names_the_shifted

pytestmark = pytest.mark.slow

RUNS = 60


@pytest.mark.parametrize("window_rows", [200, 1_000])
def test_alarms_without_drift_stay_at_the_stated_rate(window_rows: int) -> None:
    results = [alarms(seed, 800, (window_rows,))[0] for seed in range(RUNS)]
    assert Rate(sum(alarm for alarm, _ in results), RUNS).interval[0] <= 0.05
    assert Rate(sum(significant for _, significant in results), RUNS).interval[0] <= 0.05


@pytest.mark.parametrize("shift", SHIFTS)
def test_half_a_standard_deviation_in_one_feature_is_found_and_named(shift: str) -> None:
    assert sum(names_the_shifted(seed, 800, shift)[0] for seed in range(10)) == 10


def test_the_interval_is_clopper_and_pearsons() -> None:
    assert Rate(0, 1_000).interval == pytest.approx((0, 0.003682), abs=1e-6)
    assert Rate(950, 1_000).interval == pytest.approx((0.934615, 0.962673), abs=1e-5)


def test_the_tables_are_put_between_the_markers_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "drift.md"
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    write(["new"], page)
    assert page.read_text() == f"above\n{BEGIN}\nnew\n{END}\nbelow\n"


def test_the_page_shows_a_run_of_the_complete_benchmark() -> None:
    table = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert "Alarms over 1,000 runs without drift" in table
