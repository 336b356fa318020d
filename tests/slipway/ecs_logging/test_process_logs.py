"""The log of a process: its own lines and its libraries' in one form, on standard error and in the spool."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import ecs_logging
from slipway.ecs_logging import spool_handler
from slipway.prediction_log import segments
from slipway.settings import Settings

LIBRARIES = ("bentoml", "circus", "uvicorn", "uvicorn.error", "httpx", "elastic_transport", "slipway")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    before = {name: (logging.getLogger(name).handlers[:], logging.getLogger(name).level) for name in LIBRARIES}
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, (own, own_level) in before.items():
        logging.getLogger(name).handlers[:] = own
        logging.getLogger(name).setLevel(own_level)


def lines(captured: str) -> list[dict]:
    return [json.loads(line) for line in captured.splitlines()]


def test_every_library_logs_in_the_same_form(var: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler())
    tell = ecs_logging.start("watch", Settings(var=var))
    tell("status page: here")
    logging.getLogger("uvicorn.error").warning("a connection was lost")
    logging.getLogger("httpx").info("HTTP Request: GET …")
    logging.getLogger("elastic_transport.node_pool").warning("a node has failed for 1 times in a row")
    found = lines(capsys.readouterr().err)
    assert [line["message"] for line in found] == ["status page: here", "a connection was lost"]
    assert {line["process"]["name"] for line in found} == {"watch"}


@pytest.mark.parametrize(("form", "is_json"), [("auto", True), ("ecs", True), ("text", False)])
def test_the_setting_decides_on_the_form(
    var: Path, capsys: pytest.CaptureFixture[str], form: str, is_json: bool
) -> None:
    ecs_logging.start("watch", Settings(var=var, log_format=form))("here")
    assert capsys.readouterr().err.startswith("{") is is_json


def spooled(var: Path) -> list[dict]:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, spool_handler.SpoolHandler):
            handler.close()  # no segment is renamed any more while it is read
    paths = [segment.path for segment in segments(var / "spool", spool_handler.FOLDER)]
    return [line for path in paths for line in lines(path.read_text())]


def test_lines_are_in_the_spool_only_where_that_is_set(var: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ecs_logging.start("watch", Settings(var=var))("one")
    assert spooled(var) == []
    ecs_logging.start("watch", Settings(var=var, spool_logs=True))("two")
    [line] = spooled(var)
    assert line["event"]["id"] == lines(capsys.readouterr().err)[-1]["event"]["id"], "shipped twice, it counts once"


def test_a_full_spool_and_a_failing_disk_stop_no_line_on_standard_error(
    var: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = ecs_logging.start("watch", Settings(var=var, spool_logs=True))
    (var / "spool").mkdir(parents=True, exist_ok=True)
    (var / "spool" / spool_handler.FOLDER).write_text("no folder")
    tell("the disk fails")
    found = [line["message"] for line in lines(capsys.readouterr().err)]
    assert found[0] == "the disk fails"
    assert any("are being lost" in message for message in found), "said once, where it can be said"


def test_waiting_lines_have_a_limit(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_handler, "MOST_BYTES", 1)
    monkeypatch.setattr(spool_handler, "_TURN_SECONDS", 0.05)
    tell = ecs_logging.start("watch", Settings(var=var, spool_logs=True))
    tell("one")
    time.sleep(0.5)
    tell("two")
    assert [line["message"] for line in spooled(var)] == ["one"]


def test_many_threads_lose_and_tear_no_line(var: Path) -> None:
    ecs_logging.start("watch", Settings(var=var, spool_logs=True, segment_seconds=0.1))
    log = logging.getLogger("slipway.watch")
    threads = [threading.Thread(target=lambda: [log.info("x" * 500) for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spooled(var)) == 1600
