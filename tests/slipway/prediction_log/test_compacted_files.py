"""Compacted files are believed: read without a check of every value and without comparing all ids, each event once."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from slipway.prediction_log import Compactor, Log, parquet_files
from slipway.prediction_log.reading import event_sets, sample
from slipway.settings import Settings
from tests.support.prediction_log.sample_events import START, USECASE, label, prediction

HOUR = timedelta(hours=1)
NOW = START + timedelta(days=3)


def ship(config: Settings) -> None:
    assert not Shipper(config, [ParquetSink(config)]).ship().failed


def compact(config: Settings, *, remove: bool = True) -> None:
    for hours in range(2 if remove else 1):
        Compactor(config).compact(USECASE, "prediction", NOW + hours * HOUR)


def large(config: Settings) -> list[Path]:
    return sorted(Path(config.log_root, "predictions").rglob("compacted-*.parquet"))


def rows(relation: duckdb.DuckDBPyRelation) -> list[str]:
    return sorted(row for (row,) in relation.select('"slipway.row_id"').fetchall())


@pytest.fixture
def compacted(config: Settings, write: Callable[..., None]) -> Path:
    """The file of four shipped and compacted events."""
    for first in ("a", "c"):
        write(prediction(first, key="k"), prediction(chr(ord(first) + 1), 60))
    write(label(90, 90, row="a", label="bad"), stream="feedback")
    ship(config)
    compact(config)
    [path] = large(config)
    return path


def damage_page(path: Path, column: str) -> None:
    """Overwrite a column's first page, and leave size and times of the file as they are."""
    state, content = path.stat(), bytearray(path.read_bytes())
    query = f"""SELECT coalesce(dictionary_page_offset, data_page_offset), total_compressed_size
        FROM parquet_metadata('{path}') WHERE path_in_schema = '{column}'"""
    for offset, size in duckdb.sql(query).fetchall():
        content[offset : offset + size] = random.Random(7).randbytes(size)
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_compacted_file_is_read_without_a_check_of_its_values(
    log: Log, compacted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files._Check, "_read_through", lambda *_: pytest.fail("read through"))
    assert rows(log.predictions(USECASE)) == rows(log.sample(USECASE)) == ["a", "b", "c", "d"]


def test_a_damaged_page_costs_its_file_once_a_query_needs_it(
    log: Log, config: Settings, compacted: Path, write: Callable[..., None]
) -> None:
    write(prediction("e", 86_400))
    events = log.predictions(USECASE)
    damage_page(compacted, "slipway.features")
    assert rows(events) == ["a", "b", "c", "d", "e"]
    assert log.left_out == []
    others = events.filter("true").select('"slipway.row_id", "slipway.features"')
    assert [row for row, _ in others.fetchall()] == ["e"]
    assert [Path(each.file).name for each in log.left_out] == [compacted.name]
    assert rows(events) == ["e"], "relations of the same call agree"
    assert rows(log.sample(USECASE)) == rows(Log(config).predictions(USECASE)) == ["e"]
    assert log.labelled(USECASE).fetchall() == []


def test_relations_that_were_made_before_a_file_was_found_to_be_broken_are_made_again(
    log: Log, compacted: Path, write: Callable[..., None]
) -> None:
    write(prediction("e", 86_400))
    events = log.predictions(USECASE)
    first, second = (events.select('"slipway.features"').aggregate("count(*), max(#1)") for _ in range(2))
    other = Log(log._settings).predictions(USECASE).select('max("slipway.features")')
    damage_page(compacted, "slipway.features")
    assert [len(each.fetchall()) for each in (first, second, other)] == [1, 1, 1]


def test_features_of_a_compacted_file_that_are_no_json_are_noticed_when_they_are_read(
    log: Log, config: Settings, compacted: Path
) -> None:
    metadata = duckdb.sql(f"SELECT decode(value) FROM parquet_kv_metadata('{compacted}')").fetchall()[0][0]
    select = f"SELECT * REPLACE ('{{' AS \"slipway.features\") FROM '{compacted}'"
    option = f"KV_METADATA {{slipway_compacted: '{metadata}'}}"
    duckdb.sql(f"COPY ({select}) TO '{compacted}.new' (FORMAT parquet, {option})")
    Path(f"{compacted}.new").rename(compacted)
    assert log.predictions(USECASE).select('"slipway.features"').fetchall() == []
    assert ["no JSON" in each.why for each in log.left_out] == [True]


def test_a_query_that_is_wrong_is_no_reason_to_look_for_broken_files(
    log: Log, compacted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = log.predictions(USECASE)
    monkeypatch.setattr(parquet_files._Check, "_read_through", lambda *_: pytest.fail("read through"))
    with pytest.raises(duckdb.BinderException):
        events.select("nothing_of_this_name").fetchall()


def test_an_error_without_a_broken_file_is_raised(log: Log, compacted: Path) -> None:
    with pytest.raises(duckdb.Error, match="mine"):
        log.predictions(USECASE).select("error('mine')").fetchall()


def test_the_small_files_of_a_broken_large_one_are_read_while_they_are_there(
    log: Log, config: Settings, write: Callable[..., None]
) -> None:
    for row in "ab":
        write(prediction(row))
    ship(config)
    compact(config, remove=False)
    [path] = large(config)
    damage_page(path, "slipway.features")
    assert [len(log.predictions(USECASE).select('"slipway.features"').fetchall()), len(log.left_out)] == [2, 1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_an_event_counts_once_wherever_its_copies_are(
    log: Log, config: Settings, write: Callable[..., None], seed: int
) -> None:
    """Copies lie in the spool, in small files, twice in a large file, in two large files and on two dates."""
    choose = random.Random(seed)
    events = {f"{number:02}": prediction(f"{number:02}", 3_600 * number) for number in range(30)}
    for round_ in range(3):
        for _ in range(4):
            chosen = choose.sample(sorted(events), 8)
            write(*(events[row] for row in chosen), prediction(chosen[0], 3_600 * choose.randrange(30)))
        ship(config)
        compact(config, remove=choose.random() < 0.5) if round_ < 2 else None
    write(*(events[row] for row in choose.sample(sorted(events), 4)))
    everything = log.predictions(USECASE)
    found = Counter(rows(everything))
    assert set(found.values()) == {1}
    assert len(log.sample(USECASE).fetchall()) == len(found)
    since = (START + timedelta(hours=7)).isoformat()
    expected = everything.filter(f"\"@timestamp\" >= '{since}'")
    assert set(rows(expected)) <= set(rows(log.predictions(USECASE, since)))
    assert max(Counter(rows(log.predictions(USECASE, since))).values()) == 1


def test_only_ids_of_the_range_that_two_files_share_are_compared() -> None:
    a, b, c, d = (Path(name) for name in "abcd")
    ranges = {a: ("10", "20"), b: ("18", "30"), c: ("31", "40"), d: ("05", "99")}
    assert set(event_sets._overlaps(ranges)) == {(d, a), (d, b), (d, c), (a, b)}
    once = {path: ranges[path] for path in (a, b, c)}
    assert event_sets._shared(once, [("00", "09"), ("19", "20"), ("12", "13")]) == {a: ("12", "20"), b: ("19", "20")}
    assert event_sets._shared(once, []) == {}


@pytest.mark.slow
def test_samples_of_compacted_files_are_the_sample_of_their_events(
    log: Log, config: Settings, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "MOST_ROWS", 7)
    for part in range(4):
        write(
            *(prediction(f"r{part}{number:02}", 1_800 * (20 * part + number)) for number in range(20)),
            prediction(f"r{part}00", role="shadow", answered=False),
            prediction(f"test{part}", test=True),
        )
    ship(config)
    windows = [(None, None), (START + 5 * HOUR, None), (START + 5 * HOUR, START + 30 * HOUR)]
    before = [rows(log.sample(USECASE, *window, n=7)) for window in windows]
    compact(config)
    assert [rows(log.sample(USECASE, *window, n=7)) for window in windows] == before
    samples = sorted(Path(config.log_root).rglob("*.sample"))
    assert len(samples) == len(large(config)) == 2
    query = f"SELECT count(*) FROM read_parquet({[str(path) for path in samples]})"
    assert duckdb.sql(query).fetchall() == [(14,)]
    damage_page(samples[0], "slipway.row_id")
    samples[1].write_bytes(b"")
    assert [rows(log.sample(USECASE, *window, n=7)) for window in windows] == before
    assert log.left_out == []


def test_a_sample_that_a_killed_process_left_is_removed(config: Settings, compacted: Path) -> None:
    other = compacted.with_name("compacted-0123.sample")
    other.write_bytes(b"PAR1")
    compact(config)
    assert not other.exists()
    assert compacted.with_suffix(".sample").exists()
