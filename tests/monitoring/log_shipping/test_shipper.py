from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.log_shipping import shipper as ship_module
from monitoring.log_shipping.shipper import ParquetSink, Shipper, lag
from slipway.prediction_log import Log, Writer, segments
from tests.support.sample_events import USECASE, label, prediction


@pytest.fixture
def shipper(home) -> Shipper:
    return Shipper(home, [ParquetSink(home)])


def parquet(home) -> list[str]:
    root = Path(home.log_root)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.*"))


def rows(log: Log) -> list[str]:
    return sorted(row for (row,) in log.predictions(USECASE).select('"slipway.row_id"').fetchall())


def test_segments_become_partitions_by_environment_use_case_and_date(home, write, shipper):
    write(prediction("a"), prediction("b", 86_400))
    write(label(5, 4, row="a", label="bad"), stream="feedback")
    stems = {segment.stream: segment.stem for segment in segments(home.spool, USECASE)}
    shipped = shipper.ship()
    assert (shipped.segments, shipped.events, shipped.failed) == (2, 3, [])
    assert parquet(home) == [
        f"feedback/local/made_up/2026-03-01/{stems['feedback']}.parquet",
        f"predictions/local/made_up/2026-03-01/{stems['prediction']}.parquet",
        f"predictions/local/made_up/2026-03-02/{stems['prediction']}.parquet",
    ]
    assert segments(home.spool, USECASE) == []


def test_an_open_segment_stays(home, shipper):
    writer = Writer(home.spool, USECASE, "prediction")
    writer.write(prediction("a"))
    assert shipper.ship().segments == 0
    writer.close()
    assert shipper.ship().segments == 1


def test_a_segment_without_any_event_leaves_its_lines_only(home, log, write, shipper):
    write(b"nothing\n")
    assert shipper.ship().segments == 1
    assert [Path(path).suffix for path in parquet(home)] == [".bad"]
    log.predictions(USECASE)
    assert log.bad_lines == 1


def test_images_are_moved_once_and_before_them_no_event_waits(home, log, write, shipper):
    folder = home.spool / USECASE / "images"
    for content in (b"first", b"the same again"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ("a" * 64)).write_bytes(content)
        assert not shipper.ship().failed
        assert list(folder.iterdir()) == []
    assert (Path(home.log_root) / "images" / ("a" * 64)).read_bytes() == b"first"
    write(prediction("a"))
    (folder / ("b" * 64)).mkdir()
    assert "did not reach the log" in shipper.ship().failed[0]
    assert rows(log) == ["a"] and segments(home.spool, USECASE) == []


class Killed(BaseException):
    """Stands in for a kill at one system call: nothing that follows it runs."""


@pytest.mark.parametrize("call", ["mkdir", "fsync", "replace", "unlink"])
@pytest.mark.parametrize("nth", [0, 1, 2])
def test_a_kill_at_any_point_loses_and_doubles_nothing(home, log, write, monkeypatch, call, nth):
    write(prediction("a"), b"broken\n", prediction("b", 86_400))
    calls = []
    owner = os if call == "fsync" else Path
    original = getattr(owner, call)

    def die(*args, **kwargs):
        if not str(args[0]).endswith(".tmp") or call == "replace":
            calls.append(args)
        if len(calls) > nth:
            raise Killed
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, die)
        with suppress(Killed):
            Shipper(home, [ParquetSink(home)]).ship()
    assert rows(log) == ["a", "b"]
    Shipper(home, [ParquetSink(home)]).ship()
    assert rows(log) == ["a", "b"]
    assert log.bad_lines == 1
    assert segments(home.spool, USECASE) == []
    assert [Path(path).suffix for path in parquet(home)].count(".parquet") == 2


class Refusing:
    name = "Elsewhere"

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.ready = False

    def take(self, usecase: str, segment) -> int:
        if not self.ready:
            raise ConnectionError("nobody answers")
        self.taken.append(segment.stem)
        return 1


class Counting(ParquetSink):
    times = 0

    def take(self, usecase: str, segment) -> int:
        self.times += 1
        return super().take(usecase, segment)


def test_a_segment_stays_until_every_sink_has_it(home, log, write):
    write(prediction("a"))
    (segment,) = segments(home.spool, USECASE)
    archive, elsewhere = Counting(home), Refusing()
    shipper = Shipper(home, [elsewhere, archive])
    for _ in range(2):
        shipped = shipper.ship()
        assert shipped.failed == [f"made_up/{segment.stem} did not reach Elsewhere: nobody answers"]
        assert segments(home.spool, USECASE) == [segment]
        assert rows(log) == ["a"]
    elsewhere.ready = True
    shipped = shipper.ship()
    assert (shipped.segments, shipped.events, shipped.failed) == (1, 1, [])
    assert elsewhere.taken == [segment.stem] and archive.times == 1
    assert segments(home.spool, USECASE) == []


def test_a_sink_that_cannot_write_says_so_and_leaves_no_part(home, log, write, shipper):
    write(prediction("a"))
    folder = Path(home.log_root) / "predictions"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    (failed,) = shipper.ship().failed
    assert "did not reach Parquet" in failed
    folder.unlink()
    assert shipper.ship().segments == 1
    assert rows(log) == ["a"]


def test_two_shippers_take_turns(home, log, write):
    for number in range(12):
        write(prediction(f"r{number:02}"))
    shippers = [Shipper(home, [ParquetSink(home)]) for _ in range(2)]
    shipped = []
    threads = [threading.Thread(target=lambda one=one: shipped.append(one.ship())) for one in shippers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each.segments for each in shipped) == 12
    assert not any(each.failed for each in shipped)
    assert len(rows(log)) == 12


def test_lag_is_the_age_of_what_waits(home, write, shipper, monkeypatch):
    assert lag(home) == {}
    write(prediction("a"))
    (segment,) = segments(home.spool, USECASE)

    class Later(datetime):
        @classmethod
        def now(cls, zone=UTC):
            return segment.opened + timedelta(seconds=90)

    monkeypatch.setattr(ship_module, "datetime", Later)
    assert lag(home) == {USECASE: 90.0}
    shipper.ship()
    assert lag(home) == {USECASE: 0.0}


def test_the_command_ships_once_and_prints_what_it_did(home, log, write, cli):
    write(prediction("a"), prediction("b"))
    ran = cli("ship", "--once")
    assert (ran.code, ran.out) == (0, f"2 events of 1 segments are in {home.log_root}\n")
    ran = cli("ship", "--once", "--json")
    assert (ran.code, json.loads(ran.out)) == (0, {"segments": 0, "events": 0, "failed": []})
    assert rows(log) == ["a", "b"]


def test_the_command_fails_when_segments_stay(home, write, cli):
    write(prediction("a"))
    Path(home.log_root).parent.mkdir(parents=True, exist_ok=True)
    Path(home.log_root).write_text("a file where the folder should be")
    ran = cli("ship", "--once")
    assert ran.code == 1
    assert "did not reach Parquet" in ran.err and "run it again" in ran.err
    assert len(segments(home.spool, USECASE)) == 1


def test_an_ended_follower_ships_what_is_complete_and_exits_with_0(home, log, write):
    process = subprocess.Popen([sys.executable, "-m", "slipway.cli", "ship"], stderr=subprocess.PIPE, text=True)
    try:
        assert "shipping" in process.stderr.readline()
        write(prediction("a"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stderr.close()
    assert segments(home.spool, USECASE) == []
    assert rows(log) == ["a"]


WRITE_FOR_EVER = """
import os, time
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.support.sample_events import USECASE, prediction
writer = Writer(settings().spool, USECASE, "prediction", segment_bytes=30_000)
for number in range(10**9):
    row = f"{os.getpid()}-{number}"
    if writer.write(prediction(row)):
        os.write(1, (row + "\\n").encode())
    time.sleep(0.001)
"""


@pytest.mark.slow
def test_killed_writers_and_shippers_lose_no_acknowledged_line_and_double_none(home, log):
    """Workers and the shipper are killed under load; whoever got an answer finds it in the log, once."""
    root = Path(__file__).resolve().parents[3]
    acknowledged: list[str] = []
    for _ in range(2):
        workers = [
            subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER], cwd=root, stdout=subprocess.PIPE) for _ in range(2)
        ]
        shipping = subprocess.Popen([sys.executable, "-m", "slipway.cli", "ship"], cwd=root, stderr=subprocess.DEVNULL)
        readers = [threading.Thread(target=lambda w=w: acknowledged.extend(w.stdout.read().split())) for w in workers]
        for reader in readers:
            reader.start()
        before, end = len(parquet(home)), time.monotonic() + 30
        while len(parquet(home)) < before + 3 and time.monotonic() < end:
            time.sleep(0.05)
        for process in (shipping, *workers):
            process.kill()
            process.wait()
        for reader in readers:
            reader.join()
    acknowledged = [row.decode() for row in acknowledged]
    assert len(acknowledged) > 100
    assert set(acknowledged) <= set(rows(log))
    Shipper(home, [ParquetSink(home)]).ship()
    assert segments(home.spool, USECASE) == []
    found = rows(log)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert len(found) - len(acknowledged) <= 4  # written, and killed before the acknowledgement
