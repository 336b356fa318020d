"""One bad file in the log costs that file, counted and named; every other is read."""

from __future__ import annotations

import errno
import json
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from slipway.prediction_log import Log, describe, parquet_archive, parquet_files
from slipway.prediction_log.left_out import LeftOut
from slipway.settings import Settings
from tests.support.damages import DAMAGES
from tests.support.prediction_log.sample_events import USECASE, label, prediction


def copied(select: str) -> Callable[[Path, Path], None]:
    """A file that DuckDB writes from the sound one's columns."""
    return lambda path, sound: duckdb.sql(f"COPY ({select.format(sound=sound)}) TO '{path}' (FORMAT parquet)") and None


def bytes_of(change: Callable[[bytes], bytes]) -> Callable[[Path, Path], None]:
    return lambda path, sound: path.write_bytes(change(sound.read_bytes())) and None


def folder(path: Path, sound: Path) -> None:
    path.mkdir()
    (path / "inside.parquet").write_bytes(sound.read_bytes())


def dangling(path: Path, sound: Path) -> None:
    path.symlink_to(sound.with_name("nothing"))


BROKEN: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "garbage": (bytes_of(lambda _: random.Random(5).randbytes(5_000)), "No magic bytes"),
    "its first half": (bytes_of(lambda sound: sound[: len(sound) // 2]), "No magic bytes"),
    "its second half": (bytes_of(lambda sound: sound[len(sound) // 2 :]), ""),
    "no bytes": (bytes_of(lambda _: b""), "too small"),
    "the magic bytes only": (bytes_of(lambda _: b"PAR1PAR1"), "too small"),
    "zeros in its data": (
        bytes_of(lambda sound: sound[:4] + bytes(len(sound) // 2) + sound[len(sound) // 2 + 4 :]),
        "",
    ),
    "a footer longer than the file": (bytes_of(lambda sound: sound[:-8] + b"\xff\xff\xff\x7fPAR1"), "Footer length"),
    "a footer of garbage": (bytes_of(lambda sound: sound[:-200] + random.Random(5).randbytes(192) + sound[-8:]), ""),
    "lines of JSON": (bytes_of(lambda _: prediction("x") * 50), "No magic bytes"),
    "a folder": (folder, "Is a directory"),
    "a link to nothing": (dangling, "No such file"),
    "columns of something else": (copied("SELECT 1 AS a, 'b' AS c"), "it has no column event.id"),
    "ids that are numbers": (
        copied("SELECT * REPLACE (1 AS \"event.id\") FROM '{sound}'"),
        "its column event.id is INTEGER, and VARCHAR is expected",
    ),
    "times that are texts": (
        copied("SELECT * REPLACE ('yesterday' AS \"@timestamp\") FROM '{sound}'"),
        "its column @timestamp is VARCHAR, and TIMESTAMPTZ is expected",
    ),
    "events as a struct": (copied("SELECT {{'id': 'x'}} AS event, now() AS \"@timestamp\""), "no column event.id"),
    "features that are no JSON": (
        copied("SELECT * REPLACE ('{{' AS \"slipway.features\") FROM '{sound}'"),
        "2 of its values are no JSON",
    ),
}


@pytest.fixture
def sound(config: Settings, write: Callable[..., None]) -> Path:
    """The file of two shipped events, beside which a broken one is put."""
    write(prediction("a", key="k"), prediction("b"))
    write(label(1, 1, key="k", label="bad"), stream="feedback")
    assert not Shipper(config, [ParquetSink(config)]).ship().failed
    [path] = (config.var / "log" / "predictions").rglob("*.parquet")
    return path


def rows(relation: duckdb.DuckDBPyRelation) -> list[str]:
    return sorted(row for (row,) in relation.select('"slipway.row_id"').fetchall())


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_parquet_file_is_left_out_counted_and_named(
    log: Log, sound: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, why = BROKEN[what]
    bad = sound.with_name(f"broken-{what.replace(' ', '-')}.parquet")
    make(bad, sound)
    for _ in range(2):
        assert rows(log.predictions(USECASE)) == ["a", "b"]
        [found] = log.left_out
        assert found.file == f"predictions/local/{USECASE}/{sound.parent.name}/{bad.name}"
        assert why in found.why
        assert found.why
    assert rows(log.sample(USECASE)) == ["a", "b"]
    assert log.labelled(USECASE).select('"slipway.row_id", label_true').fetchall() == [("a", "bad")]
    assert [each.file for each in log.left_out] == [found.file]
    assert found.file in describe(log.left_out)
    assert [record.message for record in caplog.records].count(
        f"{found.file} is left out of the prediction log: {found.why}"
    ) == 1


@pytest.mark.parametrize("what", ["garbage", "its second half", "zeros in its data", "features that are no JSON"])
def test_a_search_for_one_event_believes_files_and_leaves_out_those_that_fail_it(
    log: Log, sound: Path, what: str
) -> None:
    BROKEN[what][0](sound.with_name("broken.parquet"), sound)
    names = {"slipway.row_id": "a", "slipway.key": "k"}
    assert log.having(USECASE, names).select('"slipway.row_id", "slipway.features"').fetchall() == [
        ("a", '{"age":40,"purpose":"car"}')
    ]
    assert log.labelled_row(USECASE, "a", "k").select("label_true").fetchall() == [("bad",)]
    assert [Path(each.file).name for each in log.left_out] == ["broken.parquet"]


def test_a_broken_file_of_feedback_costs_its_labels_only(log: Log, config: Settings, sound: Path) -> None:
    [feedback] = (config.var / "log" / "feedback").rglob("*.parquet")
    feedback.with_name("broken.parquet").write_bytes(b"")
    assert len(log.labelled(USECASE).fetchall()) == len(log.feedback(USECASE).fetchall()) == 1
    assert [Path(each.file).name for each in log.left_out] == ["broken.parquet"]


def test_all_broken_files_of_many_are_found(log: Log, sound: Path) -> None:
    for number in range(40):
        content = b"garbage" if number % 13 == 5 else sound.read_bytes()
        sound.with_name(f"{number:02}.parquet").write_bytes(content)
    assert rows(log.predictions(USECASE)) == ["a", "b"]
    assert [Path(each.file).name for each in log.left_out] == ["05.parquet", "18.parquet", "31.parquet"]
    assert "3 files" in describe(log.left_out)


def test_a_file_that_is_mended_is_read_again(log: Log, sound: Path) -> None:
    content, moved = sound.read_bytes(), sound.with_name("moved.parquet")
    sound.write_bytes(content[:100])
    assert rows(log.predictions(USECASE)) == []
    moved.write_bytes(content)
    moved.rename(sound)
    assert rows(log.predictions(USECASE)) == ["a", "b"]
    assert log.left_out == []


def test_a_sound_file_is_read_through_once(log: Log, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.predictions(USECASE)
    monkeypatch.setattr(parquet_files, "_Check", lambda *_: pytest.fail("checked again"))
    assert rows(log.predictions(USECASE)) == ["a", "b"]


def test_columns_that_are_not_known_here_do_not_matter(log: Log, sound: Path) -> None:
    for number, more in enumerate(("1 AS later", "'x' AS later", "{'deep': 1} AS later")):
        duckdb.sql(
            f"COPY (SELECT *, {more} FROM '{sound}') TO '{sound.with_name(f'{number}.parquet')}' (FORMAT parquet)"
        )
    texts = 'SELECT * REPLACE ("slipway.features"::VARCHAR AS "slipway.features")'
    duckdb.sql(f"COPY ({texts} FROM '{sound}') TO '{sound.with_name('texts.parquet')}' (FORMAT parquet)")
    relation = log.predictions(USECASE)
    assert dict(zip(relation.columns, map(str, relation.types), strict=True))["slipway.features"] == "JSON"
    assert (rows(relation), log.left_out) == (["a", "b"], [])


def test_bytes_changed_anywhere_never_end_a_reader(
    log: Log, config: Settings, sound: Path, write: Callable[..., None]
) -> None:
    write(prediction("c"), prediction("d"))
    assert not Shipper(config, [ParquetSink(config)]).ship().failed
    [other] = set(sound.parent.glob("*.parquet")) - {sound}
    content, choose = other.read_bytes(), random.Random(11)
    for number in range(60):
        changed = bytearray(content)
        for _ in range(choose.choice([1, 2, 20])):
            changed[choose.randrange(len(changed))] = choose.randrange(256)
        sound.with_name(f"changed-{number}.parquet").write_bytes(changed)
    assert {("a",), ("b",)} <= set(log.predictions(USECASE).select('"slipway.row_id"').fetchall())
    assert 10 < len(log.left_out) <= 60


def test_a_process_without_descriptors_calls_no_file_broken(
    log: Log, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound.with_name("new.parquet").write_bytes(b"")

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        log.predictions(USECASE)


SPOOLED = {
    "zeros": bytes(4_096) + b"\n",
    "garbage": random.Random(5).randbytes(20_000).replace(b"\n", b"") + b"\n",
    "UTF-16": prediction("x").decode().encode("utf-16-le") + b"\n",
    "Parquet": b"PAR1" + bytes(100) + b"PAR1\n",
}


@pytest.mark.parametrize("what", SPOOLED)
def test_a_spooled_binary_file_is_counted_and_named(log: Log, config: Settings, sound: Path, what: str) -> None:
    bad = config.spool / USECASE / "prediction-20260301T000000000000Z-1-aa.jsonl"
    bad.write_bytes(SPOOLED[what])
    bad.with_name("prediction-20260301T000000000001Z-1-bb.jsonl").write_bytes(prediction("c"))
    assert rows(log.predictions(USECASE)) == ["a", "b", "c"]
    lines = SPOOLED[what].count(b"\n")
    assert [(each.file, each.lines) for each in log.left_out] == [(str(bad), lines)]
    assert not Shipper(config, [ParquetSink(config)]).ship().failed
    assert rows(log.predictions(USECASE)) == ["a", "b", "c"]
    assert [(Path(each.file).suffix, each.lines) for each in log.left_out] == [(".bad", lines)]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_for_an_event_is_kept_and_never_held_whole(
    config: Settings, sound: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    monkeypatch.setattr(parquet_archive, "MAX_LINE", 1 << 16)
    event = prediction("c").rstrip(b"\n")
    long = event + b" " * (8 << 20) + event
    segment = config.spool / USECASE / "prediction-20260301T000000000000Z-1-aa.jsonl"
    segment.write_bytes(event + b"\n" + b"no event\n" + long + end)
    tracemalloc.start()
    shipped = Shipper(config, [ParquetSink(config)]).ship()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not shipped.failed
    [kept] = config.var.rglob("*.bad")
    assert kept.read_bytes() == b"no event\n" + long + b"\n"
    assert peak < 4 << 20


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.open"])
@pytest.mark.parametrize(("damage", "why"), [("a folder", "Is a directory"), ("a pipe", "it is no regular file")])
def test_what_is_no_file_with_a_segments_name_ends_neither_reader_nor_shipper(
    log: Log, config: Settings, sound: Path, write: Callable[..., None], ending: str, damage: str, why: str
) -> None:
    bad = config.spool / USECASE / f"prediction-20260301T000000000000Z-1-aa{ending}"
    DAMAGES[damage](bad)
    write(prediction("c"))
    assert rows(log.predictions(USECASE)) == ["a", "b", "c"]
    assert log.left_out == [LeftOut(str(bad), why)]
    shipper = Shipper(config, [ParquetSink(config)])
    assert shipper.ship().segments == 1
    assert shipper.left() == 0
    assert rows(log.predictions(USECASE)) == ["a", "b", "c"]


@pytest.mark.parametrize(("damage", "why"), [("a folder", "Is a directory"), ("a pipe", "it is no regular file")])
@pytest.mark.parametrize("ending", [".bad", "-2.parquet"])
def test_what_is_no_file_with_the_name_of_kept_lines_or_of_parquet_is_named(
    log: Log, sound: Path, damage: str, why: str, ending: str
) -> None:
    DAMAGES[damage](sound.with_name(f"{sound.stem}{ending}"))
    assert rows(log.predictions(USECASE)) == ["a", "b"]
    assert [each.why for each in log.left_out] == [why]


def test_a_pipe_among_captured_images_delays_no_event(
    config: Settings, sound: Path, write: Callable[..., None]
) -> None:
    folder = config.spool / USECASE / "images"
    folder.mkdir()
    DAMAGES["a pipe"](folder / ("a" * 64))
    write(prediction("c"))
    shipped = Shipper(config, [ParquetSink(config)]).ship()
    assert shipped.segments == 1
    assert "no regular file" in shipped.failed[0]


def test_what_is_left_out_is_one_sentence(log: Log) -> None:
    assert describe([]) == ""
    files = [LeftOut(f"{number}.parquet", "too small") for number in range(5)]
    assert describe(files[:1]) == "The log was read without what is broken in 1 file: 0.parquet (too small)."
    assert describe(files).endswith("2.parquet (too small), and 2 more.")
    assert json.dumps(describe(files))
