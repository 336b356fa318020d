"""The benchmark of docs/explanation/monitoring-performance.md, reduced: its log is one that a monitor reads."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.monitoring import generated_log
from benchmarks.monitoring.drift_verdict import PAGE, PART, Evidently, Verdict, table
from benchmarks.pages import markers
from monitoring.analysis import windows
from monitoring.analysis.windows import Period
from slipway.contracts.schema import Schema
from slipway.ids import ROW_ID
from slipway.prediction_log import Log
from slipway.settings import Settings


def test_its_log_is_one_that_a_monitor_compares(tmp_path: Path) -> None:
    generated_log.write(tmp_path, file_rows=150)
    generated_log.add_day(tmp_path, 1, files=2, file_rows=150)
    log, until = Log(Settings(var=tmp_path / "var")), datetime.now(UTC)
    period = windows.last_period(log, generated_log.NAME, until - timedelta(hours=72), until, 300)
    assert isinstance(period, Period) and (period.rows, period.version) == (300, "1")
    schema = Schema.load(tmp_path / "bundle" / "serve" / "schema.json")
    window = windows.read(log, schema, period, lambda digests: {})
    reference = windows.reference_columns(windows.load_reference(tmp_path / "bundle", schema), schema)
    assert (window.rows, window.own, len(schema.features)) == (300, 300, 20)
    assert window.table.keys() == reference.keys()
    [(ids, rows, pairs)] = (
        log.predictions(generated_log.NAME)
        .aggregate(
            """count(DISTINCT "event.id"), count(DISTINCT "slipway.row_id"),
        count(*) FILTER (starts_with("event.id", "slipway.row_id"))"""
        )
        .fetchall()
    )
    assert (ids, rows, pairs) == (300, 300, 300)
    [(row_id,)] = log.predictions(generated_log.NAME).select('"slipway.row_id"').limit(1).fetchall()
    assert re.fullmatch(ROW_ID, row_id)


def test_the_table_says_what_is_met() -> None:
    few, many, twice = (Verdict(rows, 100.0, seconds, 9.0, 400.0) for rows, seconds in ((1, 2), (10, 12), (20, 25)))
    lines = table(few, [many, twice], Evidently(60.0, 60.0, 900.0))
    assert [line.split("|")[4].strip() for line in lines[2:6]] == ["yes", "yes", "yes", "**no**"]
    assert "| 1 against Evidently alone | 1 / 30.0 | ≤ 1 / 15 | yes |" in lines


def test_the_page_shows_a_run_of_the_complete_benchmark() -> None:
    begin, end = markers(PART)
    shown = PAGE.read_text().split(begin)[1].split(end)[0]
    assert "| 10,000,000 predictions |" in shown
