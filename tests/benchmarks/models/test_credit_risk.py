"""The benchmark of docs/explanation/default-network.md, one of its five splits."""

from __future__ import annotations

import pytest

from benchmarks.models.credit_risk import ALLOWED, PAGE, SALTS, Result, mean, measure, table


@pytest.mark.slow
def test_the_network_is_no_worse_than_a_linear_model_on_the_real_file(needs, tmp_path):
    found = measure(needs("german.data"), "three", tmp_path)
    assert found.network >= found.linear - ALLOWED


def test_the_page_shows_a_run_of_the_complete_benchmark():
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    shown = {row[1].strip(): row for row in rows}
    assert set(SALTS) <= set(shown)
    network, linear = (float(cell.strip(" *")) for cell in shown["**mean**"][2:4])
    assert network >= linear - ALLOWED


def test_the_mean_is_the_last_row():
    lines = list(table([Result("one", 0.8, 0.7, 10), Result("two", 0.7, 0.8, 20)]))
    assert lines[-1] == "| **mean** | **0.750** | **0.750** | 15 s |"
    assert mean([Result("one", 0.8, 0.7, 10)]) == (0.8, 0.7)
