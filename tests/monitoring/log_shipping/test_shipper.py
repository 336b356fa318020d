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
from monitoring.log_shipping.shipper import Shipper, lag
from monitoring.log_shipping.sinks import ParquetSink
from slipway.prediction_log import Log, Writer, segments
from slipway.settings import settings
from tests.support.prediction_log.sample_events import USECASE, label, prediction


@pytest.fixture
def shipper(config) -> Shipper:
    return Shipper(config, [ParquetSink(config)])


def parquet(config) -> list[str]:
    root = Path(config.log_root)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.*"))


def rows(log: Log) -> list[str]:
    return sorted(row for (row,) in log.predictions(USECASE).select('"slipway.row_id"').fetchall())


def test_segments_become_partitions_by_environment_use_case_and_date(config, write, shipper):
    write(prediction("a"), prediction("b", 86_400))
    write(label(5, 4, row="a", label="bad"), stream="feedback")
    stems = {segment.stream: segment.stem for segment in segments(config.spool, USECASE)}
    shipped = shipper.ship()
    assert (shipped.segments, shipped.events, shipped.failed) == (2, 3, [])
    assert parquet(config) == [
        f"feedback/local/made_up/2026-03-01/{stems['feedback']}.parquet",
        f"predictions/local/made_up/2026-03-01/{stems['prediction']}.parquet",
        f"predictions/local/made_up/2026-03-02/{stems['prediction']}.parquet",
    ]
    assert segments(config.spool, USECASE) == []


def test_a_copy_of_the_audit_that_takes_long_and_fails_holds_up_no_event(config, log, write, monkeypatch):
    monkeypatch.setattr(ship_module, "PAUSE_SECONDS", 0.01)

    def copy() -> int:
        write(prediction("later"))
        deadline = time.monotonic() + 20
        while segments(config.spool, USECASE) and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyError("cut off")

    shipped = Shipper(config, [ParquetSink(config)], copy_audit=copy).ship()
    assert (shipped.events, shipped.audit_lines) == (1, 0)
    assert shipped.failed == ["the audit was not copied: 'cut off'"]
    assert rows(log) == ["later"]


def test_an_open_segment_stays(config, shipper):
    writer = Writer(config.spool, USECASE, "prediction")
    writer.write(prediction("a"))
    assert shipper.ship().segments == 0
    writer.close()
    assert shipper.ship().segments == 1


def test_a_segment_without_any_event_leaves_its_lines_only(config, log, write, shipper):
    write(b"nothing\n")
    assert shipper.ship().segments == 1
    assert [Path(path).suffix for path in parquet(config)] == [".bad"]
    log.predictions(USECASE)
    assert log.bad_lines == 1


def test_images_are_moved_once_and_before_them_no_event_waits(config, log, write, shipper):
    folder = config.spool / USECASE / "images"
    for content in (b"first", b"the same again"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ("a" * 64)).write_bytes(content)
        assert not shipper.ship().failed
        assert list(folder.iterdir()) == []
    assert (Path(config.log_root) / "images" / ("a" * 64)).read_bytes() == b"first"
    write(prediction("a"))
    (folder / ("b" * 64)).mkdir()
    assert "did not reach the log" in shipper.ship().failed[0]
    assert rows(log) == ["a"] and segments(config.spool, USECASE) == []


class Killed(BaseException):
    """Stands in for a kill at one system call: nothing that follows it runs."""


@pytest.mark.parametrize("call", ["mkdir", "fsync", "replace", "unlink"])
@pytest.mark.parametrize("nth", [0, 1, 2])
def test_a_kill_at_any_point_loses_and_doubles_nothing(config, log, write, monkeypatch, call, nth):
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
            Shipper(config, [ParquetSink(config)]).ship()
    assert rows(log) == ["a", "b"]
    Shipper(config, [ParquetSink(config)]).ship()
    assert rows(log) == ["a", "b"]
    assert log.bad_lines == 1
    assert segments(config.spool, USECASE) == []
    assert [Path(path).suffix for path in parquet(config)].count(".parquet") == 2


class Refusing:
    name = "Elsewhere"
    at_once = 1

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


def test_a_segment_stays_until_every_sink_has_it(config, log, write):
    write(prediction("a"))
    (segment,) = segments(config.spool, USECASE)
    archive, elsewhere = Counting(config), Refusing()
    shipper = Shipper(config, [elsewhere, archive])
    for _ in range(2):
        shipped = shipper.ship()
        assert shipped.failed == [f"made_up/{segment.stem} did not reach Elsewhere: nobody answers"]
        assert segments(config.spool, USECASE) == [segment]
        assert rows(log) == ["a"]
    elsewhere.ready = True
    shipped = shipper.ship()
    assert (shipped.segments, shipped.events, shipped.failed) == (1, 1, [])
    assert elsewhere.taken == [segment.stem] and archive.times == 1
    assert segments(config.spool, USECASE) == []


def test_a_sink_that_cannot_write_says_so_and_leaves_no_part(config, log, write, shipper):
    write(prediction("a"))
    folder = Path(config.log_root) / "predictions"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    (failed,) = shipper.ship().failed
    assert "did not reach Parquet" in failed
    folder.unlink()
    assert shipper.ship().segments == 1
    assert rows(log) == ["a"]


def test_two_shippers_take_turns(config, log, write):
    for number in range(12):
        write(prediction(f"r{number:02}"))
    shippers = [Shipper(config, [ParquetSink(config)]) for _ in range(2)]
    shipped = []
    threads = [threading.Thread(target=lambda one=one: shipped.append(one.ship())) for one in shippers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each.segments for each in shipped) == 12
    assert not any(each.failed for each in shipped)
    assert len(rows(log)) == 12


def test_lag_is_the_age_of_what_waits(config, write, shipper, monkeypatch):
    assert lag(config) == {}
    write(prediction("a"))
    (segment,) = segments(config.spool, USECASE)

    class Later(datetime):
        @classmethod
        def now(cls, zone=UTC):
            return segment.opened + timedelta(seconds=90)

    monkeypatch.setattr(ship_module, "datetime", Later)
    assert lag(config) == {USECASE: 90.0}
    shipper.ship()
    assert lag(config) == {USECASE: 0.0}


def test_the_command_ships_once_and_prints_what_it_did(config, log, write, cli):
    write(prediction("a"), prediction("b"))
    ran = cli("ship", "--once")
    assert (ran.code, ran.out) == (0, f"2 events of 1 segments are in {config.log_root}\n")
    ran = cli("ship", "--once", "--json")
    assert (ran.code, json.loads(ran.out)) == (0, {"segments": 0, "events": 0, "audit_lines": 0, "failed": []})
    assert rows(log) == ["a", "b"]


def test_the_command_fails_when_segments_stay(config, write, cli):
    write(prediction("a"))
    Path(config.log_root).parent.mkdir(parents=True, exist_ok=True)
    Path(config.log_root).write_text("a file where the folder should be")
    ran = cli("ship", "--once")
    assert ran.code == 1
    assert "did not reach Parquet" in ran.err and "run it again" in ran.err
    assert len(segments(config.spool, USECASE)) == 1


def test_a_key_file_that_is_not_there_yet_holds_up_elasticsearch_alone(config, log, write, cli, monkeypatch, tmp_path):
    write(prediction("a"))
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ELASTICSEARCH_API_KEY_FILE", str(tmp_path / "shipper"))
    settings.cache_clear()
    ran = cli("ship", "--once")
    assert ran.code == 1
    assert f"ELASTICSEARCH_API_KEY_FILE='{tmp_path}/shipper' cannot be read (No such file or directory)" in ran.err
    assert rows(log) == ["a"]
    assert len(segments(config.spool, USECASE)) == 1


def test_an_ended_follower_ships_what_is_complete_and_exits_with_0(config, log, write):
    process = subprocess.Popen([sys.executable, "-m", "slipway.cli", "ship"], stderr=subprocess.PIPE, text=True)
    try:
        assert "shipping" in process.stderr.readline()
        write(prediction("a"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stderr.close()
    assert segments(config.spool, USECASE) == []
    assert rows(log) == ["a"]


WRITE_FOR_EVER = """
import os, time
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.support.prediction_log.sample_events import USECASE, prediction
writer = Writer(settings().spool, USECASE, "prediction", segment_bytes=30_000)
for number in range(10**9):
    row = f"{os.getpid()}-{number}"
    if writer.write(prediction(row)):
        os.write(1, (row + "\\n").encode())
    time.sleep(0.001)
"""


@pytest.mark.slow
def test_killed_writers_and_shippers_lose_no_acknowledged_line_and_double_none(config, log):
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
        before, end = len(parquet(config)), time.monotonic() + 30
        while len(parquet(config)) < before + 3 and time.monotonic() < end:
            time.sleep(0.05)
        for process in (shipping, *workers):
            process.kill()
            process.wait()
        for reader in readers:
            reader.join()
    acknowledged = [row.decode() for row in acknowledged]
    assert len(acknowledged) > 100
    assert set(acknowledged) <= set(rows(log))
    Shipper(config, [ParquetSink(config)]).ship()
    assert segments(config.spool, USECASE) == []
    found = rows(log)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert len(found) - len(acknowledged) <= 4  # written, and killed before the acknowledgement


class Stuck:
    """A sink that takes its first segment when it may."""

    name = "Stuck"
    at_once = 1

    def __init__(self) -> None:
        self.may = threading.Event()

    def take(self, usecase: str, segment) -> int:
        assert self.may.wait(60)
        return 1


def test_a_sink_that_is_far_behind_holds_up_no_other(config, write, monkeypatch):
    """New segments reach the one sink before the other has what waited when the pass began."""
    monkeypatch.setattr(ship_module, "PAUSE_SECONDS", 0.05)
    for number in range(3):
        write(prediction(f"old{number}"))
    fast, stuck = Counting(config), Stuck()
    passing = threading.Thread(target=Shipper(config, [fast, stuck]).ship)
    passing.start()
    _until(lambda: fast.times == 3)
    write(prediction("new"))
    _until(lambda: fast.times == 4)
    assert len(segments(config.spool, USECASE)) == 4
    stuck.may.set()
    passing.join(60)
    assert not passing.is_alive()
    assert len(segments(config.spool, USECASE)) == 1


def _until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
