"""Compaction: readers find each event once at every moment, whatever is killed, broken, newer or late."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from slipway.prediction_log import Compactor, Log
from slipway.prediction_log.compaction import Compaction
from slipway.settings import Settings
from slipway.storage.s3 import S3Store
from slipway.timestamps import for_name
from tests.support.prediction_log.broken_log import break_log
from tests.support.prediction_log.sample_events import START, USECASE, label, prediction

HOUR = timedelta(hours=1)
NOW = START + timedelta(days=2)
FOUND = {
    "all events": lambda log: log.predictions(USECASE, answered=False),
    "sample": lambda log: log.sample(USECASE, n=3),
    "labelled": lambda log: log.labelled(USECASE, labels=["good", "bad"]),
}


class Killed(BaseException):
    """Stands in for a kill at one call: nothing that follows it runs."""


def read(log: Log) -> dict[str, Counter[str]]:
    return {name: Counter(map(str, find(log).fetchall())) for name, find in FOUND.items()}


def files(config: Settings) -> list[str]:
    return sorted(path.name for path in Path(config.log_root, "predictions").rglob("*.parquet"))


def ship(config: Settings, write: Callable[..., None], *rows: str) -> None:
    """Ship a small file for each row, an event that all of them have, and a label."""
    for number, row in enumerate(rows):
        write(prediction(row, number, probabilities={"good": 0.75}, key=row), prediction("twice", 50))
    write(label(60, 60, row=rows[0], label="bad"), stream="feedback")
    assert not Shipper(config, [ParquetSink(config)]).ship().failed


@contextmanager
def killing(patch: pytest.MonkeyPatch, owner: Any, call: str, nth: int) -> Iterator[None]:
    """Kill at the nth of these calls, not counting drafts that are removed."""
    original, calls = getattr(owner, call), []

    def die(*args: Any, **kwargs: Any) -> Any:
        if call != "unlink" or not str(args[0]).endswith(".tmp"):
            calls.append(args)
        if len(calls) > nth:
            raise Killed
        return original(*args, **kwargs)

    with patch.context() as inner, suppress(Killed):
        inner.setattr(owner, call, die)
        yield
        pytest.fail(f"there was no {call} number {nth}")


def test_small_files_become_a_large_one_and_each_event_is_read_once_at_every_moment(config, log, write):
    ship(config, write, "a", "b", "c")
    before, small, listed = read(log), files(config), log.predictions(USECASE)
    compactor = Compactor(config)
    assert compactor.compact(USECASE, "prediction", NOW) == Compaction(combined=3, large=1)
    assert len(files(config)) == 4
    assert read(log) == before
    assert len(listed.fetchall()) == 4, "a reader that listed the small files goes on"
    assert compactor.compact(USECASE, "prediction", NOW + HOUR / 2) == Compaction()
    assert Compactor(config).compact(USECASE, "prediction", NOW + HOUR) == Compaction(removed=3)
    [large] = set(files(config)) - set(small)
    assert files(config) == [large]
    assert read(log) == before
    assert compactor.compact(USECASE, "prediction", NOW + HOUR) == Compaction()
    assert not (config.var / "tmp" / "compaction").exists()


def test_only_dates_that_are_past_for_an_hour_and_for_the_spool_are_compacted(config, write):
    ship(config, write, "a", "b")
    compactor, midnight = Compactor(config), START + timedelta(days=1)
    assert compactor.compact(USECASE, "prediction", midnight + HOUR * 0.9) == Compaction()
    waiting = config.spool / USECASE / f"prediction-{for_name(midnight - HOUR)}-1-0a0b0c0d.jsonl"
    waiting.write_bytes(prediction("late"))
    assert compactor.compact(USECASE, "prediction", NOW) == Compaction()
    waiting.unlink()
    assert compactor.compact(USECASE, "prediction", NOW) == Compaction(combined=2, large=1)


@pytest.mark.slow
@pytest.mark.parametrize(("call", "nth"), [("fsync", 0), ("replace", 0), ("unlink", 0), ("unlink", 2)])
def test_a_kill_at_any_step_loses_and_doubles_nothing(config, log, write, monkeypatch, call, nth):
    ship(config, write, "a", "b", "c")
    before = read(log)
    with killing(monkeypatch, os if call == "fsync" else Path, call, nth):
        for time in (NOW, NOW + HOUR):
            Compactor(config).compact(USECASE, "prediction", time)
    assert read(log) == before
    for hours in range(3):
        Compactor(config).compact(USECASE, "prediction", NOW + hours * HOUR)
    assert read(log) == before
    assert len(files(config)) == 1


def test_what_a_killed_process_left_of_a_draft_is_removed(config, write):
    ship(config, write, "a")
    [small] = Path(config.log_root, "predictions").rglob("*.parquet")
    draft = small.with_name(".compacted-0123.parquet.tmp")
    draft.write_bytes(b"PAR1")
    Compactor(config).compact(USECASE, "prediction", NOW)
    assert not draft.exists()
    assert small.exists(), "one file is as good as a large one"


def rewrite(parquet: Path, columns: str) -> None:
    """Write a shipped file anew with other columns, as another release would have."""
    duckdb.sql(f"COPY (SELECT {columns} FROM read_parquet('{parquet}')) TO '{parquet}.new' (FORMAT parquet)")
    Path(f"{parquet}.new").rename(parquet)


def test_files_of_an_earlier_release_are_combined_and_broken_and_newer_ones_stay(config, log, write):
    ship(config, write, "a", "b", "c", "d")
    older, newer, *_ = sorted(Path(config.log_root, "predictions").rglob("prediction-*.parquet"))
    rewrite(older, '* EXCLUDE ("slipway.test")')
    rewrite(newer, '*, 7 AS "slipway.of_tomorrow"')
    broken = {Path(name).name for name in break_log(config, USECASE, START)}
    before, left_out = read(log), log.left_out
    assert Compactor(config).compact(USECASE, "prediction", NOW) == Compaction(combined=3, large=1)
    assert Compactor(config).compact(USECASE, "prediction", NOW + HOUR) == Compaction(removed=3)
    assert {newer.name, *broken} < set(files(config))
    assert (read(log), log.left_out) == (before, left_out)


def test_the_small_files_of_a_large_one_that_is_damaged_stay_and_it_is_written_again(config, log, write):
    ship(config, write, "a", "b", "c")
    before = read(log)
    Compactor(config).compact(USECASE, "prediction", NOW)
    [large] = Path(config.log_root, "predictions").rglob("compacted-*.parquet")
    large.write_bytes(b"\x00\xff" * 3_000)
    assert Compactor(config).compact(USECASE, "prediction", NOW + HOUR) == Compaction(combined=3, large=1)
    assert Compactor(config).compact(USECASE, "prediction", NOW + 2 * HOUR) == Compaction(removed=3)
    assert read(log) == before


def test_segments_that_are_shipped_late_are_combined_too(config, log, write):
    compactor = Compactor(config)
    ship(config, write, "a", "b")
    for time in (NOW, NOW + HOUR):
        compactor.compact(USECASE, "prediction", time)
    ship(config, write, "c")
    assert compactor.compact(USECASE, "prediction", NOW + HOUR) == Compaction()
    ship(config, write, "d")
    assert compactor.compact(USECASE, "prediction", NOW + HOUR) == Compaction(combined=2, large=1)
    compactor.compact(USECASE, "prediction", NOW + 2 * HOUR)
    assert len(files(config)) == 2
    assert sum(read(log)["all events"].values()) == 5


def test_a_date_that_cannot_be_compacted_costs_no_other(config, log, write):
    ship(config, write, "a", "b")
    write(prediction("c", 86_400))
    write(prediction("d", 86_400))
    assert not Shipper(config, [ParquetSink(config)]).ship().failed
    [first, second] = sorted(Path(config.log_root, "predictions", "local", USECASE).iterdir())
    (first / ".compacted-0123.parquet.tmp").mkdir()
    assert Compactor(config).compact(USECASE, "prediction", NOW + timedelta(days=1)) == Compaction(combined=2, large=1)
    assert len(list(second.glob("*.parquet"))) == 3


def test_a_bucket_is_compacted_as_a_folder_is_and_a_kill_at_any_request_loses_nothing(s3, write, monkeypatch):
    ship(s3.settings, write, "a", "b", "c")
    log = Log(s3.settings)
    before = read(log)
    for call, nth, time in (("put", 0, NOW), ("", 0, NOW), ("remove", 0, NOW + HOUR), ("remove", 1, NOW + HOUR)):
        compactor = Compactor(s3.settings)
        if call:
            with killing(monkeypatch, S3Store, call, nth):
                compactor.compact(USECASE, "prediction", time)
        else:
            assert compactor.compact(USECASE, "prediction", time) == Compaction(combined=3, large=1)
        assert read(log) == before
        assert not (s3.settings.var / "tmp" / "compaction").exists()
    assert Compactor(s3.settings).compact(USECASE, "prediction", NOW + HOUR) == Compaction(removed=2)
    assert read(log) == before
    assert log.shipped(USECASE) == 1
