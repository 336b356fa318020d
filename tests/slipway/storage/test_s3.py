from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from slipway.errors import ServiceError
from slipway.prediction_log import Log, Writer, captured, segments
from slipway.settings import Settings, settings
from slipway.storage import object_store
from tests.support.prediction_log.broken_log import break_log
from tests.support.prediction_log.sample_events import START, USECASE, label, prediction
from tests.support.s3 import KEYS

DAY = 86_400
FOUND = {
    "predictions": lambda log: log.predictions(USECASE),
    "all events": lambda log: log.predictions(USECASE, answered=False),
    "of a day": lambda log: log.predictions(USECASE, since="2026-03-02", until="2026-03-03"),
    "sample": lambda log: log.sample(USECASE, n=20),
    "feedback": lambda log: log.feedback(USECASE),
    "labelled": lambda log: log.labelled(USECASE, labels=["good", "bad"]),
}


def rows(log: Log) -> list[str]:
    return sorted(row for (row,) in log.predictions(USECASE).select('"slipway.row_id"').fetchall())


def ship(found: Settings) -> None:
    assert not Shipper(found, [ParquetSink(found)]).ship().failed


def write(found: Settings, *lines: bytes, stream: str = "prediction") -> None:
    writer = Writer(found.spool, USECASE, stream)
    assert writer.write(b"".join(lines))
    writer.close()


def test_every_reader_finds_in_a_bucket_what_it_finds_in_a_folder(s3, var, monkeypatch):
    def read_all() -> dict[str, object]:
        write(settings(), *(prediction(f"r{n}", n * DAY / 20, key=f"k{n}") for n in range(60)), b"broken\n")
        write(settings(), prediction("r0", role="shadow", answered=False))
        labels = [label(4 * DAY, 4 * DAY, key=f"k{n}", label="bad" if n % 3 else "good") for n in range(40)]
        write(settings(), *labels, stream="feedback")
        ship(settings())
        log = Log(settings())
        found = {name: sorted(map(str, read(log).fetchall())) for name, read in FOUND.items()}
        log.predictions(USECASE)
        return {**found, "bad lines": log.bad_lines}

    monkeypatch.setattr("slipway.contracts.events.feedback_event.uuid7", iter(f"{n}" for n in range(10**6)).__next__)
    from_bucket = read_all()
    monkeypatch.delenv("SLIPWAY_LOG_URL")
    settings.cache_clear()
    monkeypatch.setattr("slipway.contracts.events.feedback_event.uuid7", iter(f"{n}" for n in range(10**6)).__next__)
    assert from_bucket == read_all()
    assert from_bucket["bad lines"] == 1
    assert [len(from_bucket[name]) for name in FOUND] == [60, 61, 20, 20, 40, 40]


def test_only_requested_dates_are_fetched_and_only_once(s3):
    write(s3.settings, *(prediction(f"r{n}", n * DAY) for n in range(5)))
    ship(s3.settings)
    cache = s3.settings.var / "cache" / "log"
    assert len(Log(s3.settings).predictions(USECASE, since="2026-03-02", until="2026-03-03T12:00").fetchall()) == 2
    fetched = {path: path.stat().st_mtime_ns for path in cache.rglob("*.parquet")}
    assert sorted(path.parent.name for path in fetched) == ["2026-03-02", "2026-03-03"]
    Log(s3.settings).predictions(USECASE, since="2026-03-02", until="2026-03-03T12:00")
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.parquet")} == fetched


def test_what_was_of_no_use_for_a_day_is_not_kept(s3):
    write(s3.settings, prediction("a"), prediction("b", DAY))
    ship(s3.settings)
    assert rows(Log(s3.settings)) == ["a", "b"]
    cache = s3.settings.var / "cache" / "log"
    for folder in {path.parent for path in cache.rglob("*.parquet")}:
        os.utime(folder, (time.time() - 2 * DAY,) * 2)
    assert len(Log(s3.settings).predictions(USECASE, since="2026-03-02").fetchall()) == 1
    assert [path.parent.name for path in cache.rglob("*.parquet")] == ["2026-03-02"]


def test_a_captured_image_is_uploaded_once(s3):
    folder = s3.settings.spool / USECASE / "images"
    for content in (b"first", b"again"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ("a" * 64)).write_bytes(content)
        (folder / f".{'b' * 64}.1.tmp").write_bytes(b"half")
        ship(s3.settings)
        assert captured(s3.settings.spool, USECASE) == []
    assert object_store(s3.settings).names("images") == ["a" * 64]
    assert object_store(s3.settings).read("images/" + "a" * 64) == b"first"


def test_while_s3_does_not_answer_segments_stay_and_then_every_event_is_there_once(s3):
    write(s3.settings, prediction("a"), prediction("b", DAY))
    shipper = Shipper(s3.settings, [ParquetSink(s3.settings)])
    s3.proxy.open = False
    (failed,) = shipper.ship().failed
    assert f"S3 at {s3.proxy.url} does not respond for the bucket {s3.url.split('/')[2]}" in failed
    assert "AWS_ENDPOINT_URL" in failed
    write(s3.settings, prediction("c"))
    assert len(segments(s3.settings.spool, USECASE)) == 2
    s3.proxy.open = True
    assert shipper.ship().segments == 2
    assert rows(Log(s3.settings)) == ["a", "b", "c"]


def test_a_shipper_that_is_killed_while_it_uploads_loses_and_doubles_nothing(s3):
    expected = [f"r{number:02}" for number in range(30)]
    for row in expected:
        write(s3.settings, prediction(row), prediction(f"{row}-next-day", DAY))
    s3.proxy.held = 0.02
    for _ in range(4):
        before, shipping = s3.proxy.requests, _start()
        while s3.proxy.requests < before + 9 and shipping.poll() is None:
            time.sleep(0.01)
        shipping.kill()
        shipping.wait()
    assert 0 < len(segments(s3.settings.spool, USECASE)) < len(expected)
    s3.proxy.held = 0.0
    ship(s3.settings)
    assert rows(Log(s3.settings)) == sorted([*expected, *(f"{row}-next-day" for row in expected)])
    events = [name for date in ("2026-03-01", "2026-03-02") for name in _names(s3.settings, date)]
    assert len(events) == 2 * len(expected)


def test_an_ended_shipper_tries_until_s3_is_back_and_exits_with_0(s3):
    write(s3.settings, prediction("a"))
    s3.proxy.open = False
    shipping = _start()
    try:
        _read_until(shipping, "does not respond")
        shipping.send_signal(signal.SIGTERM)
        _read_until(shipping, "1 events are left")
        assert shipping.poll() is None
        s3.proxy.open = True
        _read_until(shipping, "0 events are left")
        assert shipping.wait(60) == 0
    finally:
        shipping.kill()
        shipping.wait()
    assert rows(Log(s3.settings)) == ["a"]


def test_a_bucket_that_is_not_there_is_no_empty_log(s3, monkeypatch):
    monkeypatch.setenv("SLIPWAY_LOG_URL", "s3://nobody-made-this/log")
    settings.cache_clear()
    with pytest.raises(ServiceError, match="there is no bucket nobody-made-this at .*Make it, or name another one"):
        Log(settings()).predictions(USECASE)
    write(settings(), prediction("a"))
    (failed,) = Shipper(settings(), [ParquetSink(settings())]).ship().failed
    assert "there is no bucket nobody-made-this" in failed


def test_an_object_that_is_larger_than_any_is_an_error(s3, monkeypatch):
    object_store(settings()).put("latest.json", b"x" * 11)
    monkeypatch.setattr("slipway.storage.s3.MOST_BYTES", 10)
    with pytest.raises(ServiceError, match="latest.json has more than 10 bytes"):
        object_store(settings()).read("latest.json")


def test_access_that_is_refused_says_what_to_set_and_shows_no_secret(s3, monkeypatch):
    """The API that tests use lets everybody in, so the answer is made up, as S3 gives it."""
    body = b"<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message></Error>"
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: "
    with _responding(head + str(len(body)).encode() + b"\r\n\r\n" + body) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(ServiceError, match="refuses access to the bucket .*Set AWS_ACCESS_KEY_ID") as refused:
            Log(s3.settings).predictions(USECASE)
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in str(refused.value)


def _names(found: Settings, date: str) -> list[str]:
    return object_store(found).names(f"predictions/local/{USECASE}/{date}")


def _start() -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "slipway.cli", "ship"]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _read_until(process: subprocess.Popen[str], text: str) -> None:
    output = ""
    while line := process.stderr.readline():
        output += line
        if text in line:
            return
    raise AssertionError(f"{text!r} did not appear in:\n{output}")


@contextmanager
def _responding(response: bytes) -> Iterator[str]:
    """Run a server that sends every client the same response."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_respond_to_all, args=(listening, response), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def _respond_to_all(listening: socket.socket, response: bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(response)


def test_broken_objects_and_a_folder_cost_themselves_only(s3, var):
    write(settings(), prediction("a"), prediction("b"))
    ship(settings())
    names = break_log(settings(), USECASE, START)[:3]
    folder = f"{names[0].rpartition('/')[0]}/folder.parquet"
    object_store(settings()).put(f"{folder}/inside.parquet", b"x")
    log = Log(settings())
    assert sorted(log.predictions(USECASE).select('"slipway.row_id"').fetchall()) == [("a",), ("b",)]
    assert sorted(each.file for each in log.left_out) == sorted([*names, folder])


def test_a_folder_of_a_bucket_is_removed_with_all_that_is_in_it_and_no_other(s3):
    store = object_store(s3.settings)
    for name in ("dates/2026-03-01/a", "dates/2026-03-01/of/b", "dates/2026-03-02/a", "dates/mark"):
        store.put(name, b"content")
    for _ in range(2):
        store.remove_folder("dates/2026-03-01")
        assert store.names("dates") == ["2026-03-02", "mark"]
    assert store.names("dates/2026-03-02") == ["a"]
