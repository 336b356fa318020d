from __future__ import annotations

import hashlib
import json
import threading
from datetime import datetime

import duckdb
import pytest

from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from slipway.contracts.events.feedback_event import FEEDBACK_COLUMNS
from slipway.contracts.events.prediction_event import PREDICTION_COLUMNS
from slipway.errors import DataError, SettingsError
from slipway.prediction_log import Log, Writer, connect, segments
from slipway.settings import settings
from tests.support.prediction_log.sample_events import USECASE, at, label, prediction


def rows(relation: duckdb.DuckDBPyRelation) -> list[str]:
    return sorted(row for (row,) in relation.select('"slipway.row_id"').fetchall())


def ship(config) -> None:
    assert not Shipper(config, [ParquetSink(config)]).ship().failed


def test_an_empty_log_has_all_columns_and_no_rows(log):
    relation = log.predictions(USECASE)
    assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == {
        name: "TIMESTAMP WITH TIME ZONE" if kind == "TIMESTAMPTZ" else kind for name, kind in PREDICTION_COLUMNS.items()
    }
    assert relation.fetchall() == []
    assert log.feedback(USECASE).columns == list(FEEDBACK_COLUMNS)
    assert log.labelled(USECASE).fetchall() == []
    assert log.sample(USECASE).fetchall() == []


def test_every_field_of_an_event_is_read_from_the_spool_and_from_parquet(log, config, write):
    probabilities = {"good": 0.75, "bad": 0.25}
    warnings = [{"feature": "age", "reason": "out_of_range"}]
    line = prediction("r", key="k", row_key="h", split_bucket=7, probabilities=probabilities, warnings=warnings)
    write(line)
    for _ in ("spool", "parquet"):
        (event,) = log.predictions(USECASE).df().to_dict("records")
        assert event["@timestamp"].isoformat() == "2026-03-01T00:00:00+00:00"
        assert (event["event.id"], event["slipway.key"], event["slipway.split_bucket"]) == ("r:champion:1", "k", 7)
        assert json.loads(event["slipway.features"]) == {"age": 40, "purpose": "car"}
        assert json.loads(event["slipway.probabilities"]) == probabilities
        assert json.loads(event["slipway.warnings"]) == warnings
        ship(config)
    assert segments(config.spool, USECASE) == []


def test_an_open_segment_is_read_up_to_its_last_complete_line(log, config):
    writer = Writer(config.spool, USECASE, "prediction")
    writer.write(prediction("a"))
    with segments(config.spool, USECASE)[0].path.open("ab") as file:
        file.write(prediction("b")[:40])
    assert rows(log.predictions(USECASE)) == ["a"]
    assert log.bad_lines == 0
    writer.close()


def test_an_event_sent_twice_counts_once(log, config, write):
    write(prediction("a"), prediction("a"), prediction("b"))
    ship(config)
    write(prediction("a"), prediction("c"))
    assert rows(log.predictions(USECASE)) == ["a", "b", "c"]


def test_a_window_includes_its_start_and_not_its_end(log, config, write):
    write(*(prediction(f"r{day}", day * 86_400) for day in range(4)))
    for _ in ("spool", "parquet"):
        assert rows(log.predictions(USECASE, since="2026-03-02", until=at(3 * 86_400))) == ["r1", "r2"]
        assert rows(log.predictions(USECASE, since=datetime(2026, 3, 4))) == ["r3"]
        assert rows(log.predictions(USECASE, until="2026-03-02T01:00+02:00")) == ["r0"]
        ship(config)


def test_a_time_that_is_none_is_refused(log):
    with pytest.raises(DataError, match="'yesterday' is no time. Write it in ISO 8601"):
        log.predictions(USECASE, since="yesterday")


def test_only_answers_are_read_unless_all_events_are_wanted(log, write):
    write(prediction("a"), prediction("a", role="shadow", answered=False), prediction("b", answered=False))
    assert rows(log.predictions(USECASE)) == ["a"]
    assert rows(log.predictions(USECASE, answered=False)) == ["a", "a", "b"]


def test_events_with_a_value_are_found_in_every_role_and_each_once(log, config, write):
    write(prediction("a", 1, key="k"), prediction("a", 1, role="shadow", answered=False), prediction("b", 2, key="a"))
    for _ in ("spool", "parquet"):
        assert rows(log.having(USECASE, {"slipway.row_id": "a", "slipway.key": "a"})) == ["a", "a", "b"]
        assert rows(log.having(USECASE, {"http.request.id": "b", "slipway.row_id": "b"})) == ["b"]
        assert rows(log.having(USECASE, {"slipway.row_id": "a"}, since=at(2))) == []
        ship(config)
    [file] = (config.var / "log" / "predictions").rglob("*.parquet")
    file.with_name("copy.parquet").write_bytes(file.read_bytes())
    assert rows(log.having(USECASE, {"slipway.row_id": "a"})) == ["a", "a"]


def test_a_test_of_the_service_is_in_the_log_and_in_no_statistics(log, config, write):
    write(
        prediction("a"),
        prediction("b", 1, key="k"),
        prediction("test", 2, key="k", test=True),
        prediction("test", 2, role="shadow", answered=False, test=True),
    )
    write(label(60, 60, row="test", label="bad"), label(60, 60, key="k", label="bad"), stream="feedback")
    for _ in ("spool", "parquet"):
        assert rows(log.predictions(USECASE)) == rows(log.predictions(USECASE, answered=False)) == ["a", "b"]
        assert rows(log.sample(USECASE)) == ["a", "b"]
        assert rows(log.labelled(USECASE)) == rows(log.labelled(USECASE, each_caller=True)) == ["b"]
        assert rows(log.predictions(USECASE, tests=True)) == ["a", "b", "test"]
        assert rows(log.predictions(USECASE, answered=False, tests=True)) == ["a", "b", "test", "test"]
        ship(config)


BROKEN = {
    "a cut line": prediction("x")[:60] + b"\n",
    "an empty line": b"\n",
    "zeros after a power cut": bytes(300) + b"\n",
    "no UTF-8": prediction("x").replace(b"car", b"\xff\xfe"),
    "no object": b'[1, 2]\n"text"\n5\nnull\n',
    "an object where a text belongs": b'{"event": 5}\n{"event": {"id": "x"}}\n',
    "no readable time": prediction("x").replace(b"2026-03", b"yester"),
    "two lines in one": prediction("x").rstrip() + prediction("y"),
    "nested 10,000 deep and cut": prediction("x").replace(b'"car"', b"[" * 10_000),
    "50 MB": prediction("x").replace(b"car", b"c" * 50_000_000),
    "quotes, comments and delimiters of CSV": b'"' + prediction("x") + b"#" + prediction("x") + b"a\x01b,c;d\te\n",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_line_is_counted_and_hides_no_other(log, config, write, what):
    write(prediction("a"), BROKEN[what], prediction("b"))
    lines = BROKEN[what].count(b"\n")
    for _ in ("spool", "parquet"):
        assert rows(log.predictions(USECASE)) == ["a", "b"]
        assert log.bad_lines == lines
        ship(config)
    kept = b"".join(path.read_bytes() for path in (config.var / "log" / "predictions").rglob("*.bad"))
    assert kept == BROKEN[what]


def test_a_sample_is_the_rows_with_the_smallest_digests_whatever_the_order(log, config, write):
    ids = [f"r{number}" for number in range(200)]
    digests = {row: hashlib.md5(row.encode()).digest()[:8] for row in ids}
    write(*(prediction(row) for row in ids[:120]), prediction("hidden", answered=False))
    ship(config)
    write(*(prediction(row) for row in reversed(ids[60:])))
    assert rows(log.sample(USECASE, n=50)) == sorted(sorted(ids, key=digests.get)[:50])
    assert rows(log.sample(USECASE)) == sorted(ids)


@pytest.mark.parametrize("column", ["slipway.cached", "slipway.test"])
def test_parquet_written_before_a_column_was_added_is_read(log, config, write, column):
    write(prediction("old"))
    ship(config)
    (path,) = (config.var / "log").rglob("*.parquet")
    older = f"SELECT * EXCLUDE (\"{column}\") FROM read_parquet('{path}')"
    duckdb.sql(f"COPY ({older}) TO '{path}.new' (FORMAT parquet)")
    path.with_name(path.name + ".new").rename(path)
    assert log.predictions(USECASE).select(f'"slipway.row_id", "{column}"').fetchall() == [("old", None)]
    write(prediction("new"))
    assert rows(log.predictions(USECASE)) == ["new", "old"]


@pytest.mark.slow
def test_readers_lose_and_double_nothing_while_segments_move(log, config):
    """A writer, a shipper and a reader at once: events acknowledged before a read are in it, once."""
    writer = Writer(config.spool, USECASE, "prediction", segment_bytes=20_000)
    acknowledged, enough, errors = [], threading.Event(), []

    def write_and_ship() -> None:
        try:
            shipper = Shipper(config, [ParquetSink(config)])
            while not enough.is_set():
                row = f"r{len(acknowledged):06}"
                if writer.write(prediction(row)):
                    acknowledged.append(row)
                if len(acknowledged) % 40 == 0:
                    assert not shipper.ship().failed
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=write_and_ship)
    thread.start()
    try:
        for _ in range(8):
            before = list(acknowledged)
            found = rows(log.predictions(USECASE))
            assert len(found) == len(set(found))
            assert set(before) <= set(found)
            assert log.bad_lines == 0
    finally:
        enough.set()
        thread.join()
        writer.close()
    assert not errors
    assert rows(log.predictions(USECASE)) == acknowledged


@pytest.mark.slow
def test_a_query_that_needs_more_memory_than_it_may_take_goes_on_on_the_disk(config):
    connection = connect(config)
    connection.execute("SET memory_limit = '64MB'")
    distinct = "SELECT DISTINCT md5(n::VARCHAR) FROM range(2_000_000) AS _(n)"
    [(count,)] = connection.sql(f"SELECT count(*) FROM ({distinct})").fetchall()
    assert count == 2_000_000


def test_many_small_segments_are_read(log, config, write):
    for number in range(130):
        write(prediction(f"r{number:03}"), stream="prediction")
    assert rows(log.predictions(USECASE)) == [f"r{number:03}" for number in range(130)]


def test_folders_with_odd_names_are_read(monkeypatch, tmp_path):
    monkeypatch.setenv("SLIPWAY_VAR", str(tmp_path / "it's [a] *folder?"))
    settings.cache_clear()
    config = settings()
    writer = Writer(config.spool, USECASE, "prediction")
    writer.write(prediction("a"))
    writer.close()
    for _ in ("spool", "parquet"):
        assert rows(Log(config).predictions(USECASE)) == ["a"]
        ship(config)


@pytest.mark.parametrize("url", ["gs://bucket/log", "s3://", "s3://B/log", "s3://key:secret@bucket/log"])
def test_a_log_url_that_is_neither_folder_nor_bucket_is_refused(monkeypatch, url):
    monkeypatch.setenv("SLIPWAY_LOG_URL", url)
    settings.cache_clear()
    with pytest.raises(SettingsError, match="SLIPWAY_LOG_URL.*give a folder, or s3://BUCKET/PREFIX") as refused:
        settings()
    assert "secret" not in str(refused.value)


def test_feedback_is_read_as_it_was_sent(log, write):
    write(label(5, 4, row="a", label="bad"), label(6, 4, key="k", value=2.5), stream="feedback")
    found = log.feedback(USECASE).order('"@timestamp"').select('"slipway.row_id", "slipway.key", "slipway.value"')
    assert found.fetchall() == [("a", None, None), (None, "k", 2.5)]
