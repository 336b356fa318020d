"""The benchmark of docs/explanation/monitoring-performance.md, reduced: its passes are real ones."""

from __future__ import annotations

from benchmarks.monitoring import long_running
from benchmarks.monitoring.generated_log import NAME
from benchmarks.monitoring.process_memory import PAGE, PART, table
from benchmarks.monitoring.stub_servers import StubRegistry, served
from benchmarks.pages import markers
from slipway.clients.mlflow.registry import Registry


def test_memory_is_taken_after_powers_of_ten_and_the_last_pass() -> None:
    taken: list[int] = []
    found = dict(long_running.run(taken.append, 1_500))
    assert list(found) == [100, 1_000, 1_500] and len(taken) == 1_500
    assert all(mb > 10 for mb in found.values())


def test_the_champion_of_the_stub_changes() -> None:
    with served(StubRegistry(NAME, reads_per_version=2)) as url:
        registry = Registry(url)
        assert [registry.aliased(NAME, "champion").version for _ in range(4)] == ["1", "2", "2", "3"]
        registry.set_version_tag(NAME, "2", "colour", "green")
        assert registry.version(NAME, "2").tags["colour"] == "green"
        assert len(registry.versions(NAME)) == 3


def test_the_table_says_what_is_flat() -> None:
    passes = {
        "flat": {100: 90.0, 1_000: 100.0, 9_000: 101.0},
        "a leak": {100: 100.0, 1_000: 100.0, 10_000: 190.0},
    }
    lines = table(passes, {"monitor": 290.0, "large": 400.0})
    assert lines[2:4] == [
        "| flat | 9,000 | 90 | 100 | 101 | 1.01 | ≤ 300 MB, ≤ 1.05 | yes |",
        "| a leak | 10,000 | 100 | 100 | 190 | 1.90 | ≤ 300 MB, ≤ 1.05 | **no** |",
    ]
    assert lines[-2:] == ["| monitor | 290 | ≤ 300 MB | yes |", "| large | 400 | ≤ 300 MB | **no** |"]


def test_the_page_shows_a_run_of_the_complete_benchmark() -> None:
    begin, end = markers(PART)
    shown = PAGE.read_text().split(begin)[1].split(end)[0]
    assert "| `slipway ship` | 10,000 |" in shown and "| `slipway watch` |" in shown
