"""The benchmark of docs/explanation/prediction-log.md, reduced: its log is one, and its readers find what it wrote."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pages import BEGIN, END
from benchmarks.prediction_log import compaction
from benchmarks.prediction_log.compaction import BUSY_READERS, PAGE, READERS, Busy
from slipway.prediction_log import Log


def test_its_readers_find_what_it_wrote_before_and_after_compaction(tmp_path: Path) -> None:
    compaction.write_log(tmp_path, days=2, files=3, rows=5)
    log, expected = Log(compaction.settings(tmp_path)), [[(30,)], 30, [(15,)]]
    for files in (6, 2):
        counted, sample, day = (find(log, 2) for find in READERS.values())
        assert [counted, len(sample), day] == expected
        assert len(list(tmp_path.rglob("*.parquet"))) == files
        compaction.compact(tmp_path, 2)


def test_the_table_has_ratios_and_the_page_shows_a_run_of_the_complete_benchmark() -> None:
    lines = compaction.table({"files": 6.0, "read, s": 9.0}, {"files": 2.0, "read, s": 1.5}, "2 dates", (3.0, 80.0))
    assert lines[2:4] == ["| files | 6 | 2 | 3.0 |", "| read, s | 9.0 | 1.5 | 6.0 |"]
    assert "| 30 dates of 192 files of 15 events |" in PAGE.read_text().split(BEGIN)[1].split(END)[0]


def test_a_busy_log_is_counted_sampled_and_read_as_a_monitor_does(tmp_path: Path) -> None:
    for day in range(2):
        compaction.write_log(tmp_path, days=1, files=4, rows=10, first=day, workers=2)
    compaction.compact(tmp_path, 2)
    counted, sample, window = (find(Log(compaction.settings(tmp_path)), 2) for find in BUSY_READERS.values())
    assert sum(count for *_, count in counted) == len(sample) == 80
    assert len({day for day, *_ in counted}) == 2
    assert (window.rows, window.own, len(window.table["feature_19"])) == (40, 40, 40)
    seconds, megabytes = compaction.read(tmp_path, "sample of 10,000", 2)
    assert seconds > 0 and megabytes >= 0


def test_the_table_of_a_busy_log_has_a_line_for_each_number_of_dates() -> None:
    lines = compaction.busy_table([Busy(3, 25_920_000, 36, 3_400_000_000, dict.fromkeys(BUSY_READERS, (1.26, 99.6)))])
    assert lines[1] == "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert lines[2] == "| 3 | 25,920,000 | 36 | 3.4 | 1.3 | 1.3 | 1.3 | 100 |"
