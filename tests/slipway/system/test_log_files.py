"""Logs of processes are rotated while their process writes on."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from slipway.local import stack as stacks
from slipway.local.stack import Stack
from slipway.system import log_files, processes
from slipway.system.log_files import empty_log, rotate
from slipway.system.processes import Process

WRITER = """
import sys, time
for number in range(int(sys.argv[1])):
    print(f"line {number:06}", "." * 1000, flush=True)
    time.sleep(0.0005)
time.sleep(30)
"""


def test_a_log_is_rotated_when_it_is_too_long_and_its_process_writes_on(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "service.log"
    with empty_log(path) as log:
        for number in range(4):
            log.write(b"%d" % number * 10)
            log.flush()
            assert rotate(path, 19) is (number in (1, 3))
        assert path.read_bytes() == b""
        assert path.with_name("service.log.1").read_bytes() == b"2" * 10 + b"3" * 10
        log.write(b"more")
    assert path.read_bytes() == b"more", "at the new end, with no hole before it"


def test_a_log_starts_empty_and_one_that_is_not_there_is_not_rotated(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"of the process before")
    with empty_log(path):
        assert path.read_bytes() == b""
    path.unlink()
    assert not rotate(path, 0)


def test_a_log_that_cannot_be_copied_is_shortened_all_the_same(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"long")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_files.shutil, "copyfile", full)
    assert rotate(path, 1)
    assert path.read_bytes() == b""


@pytest.mark.slow
def test_a_stack_bounds_what_a_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "ROTATION_SECONDS", 0.02)
    monkeypatch.setattr(processes, "rotate", lambda path: rotate(path, 100_000))
    log, rotated = tmp_path / "noisy.log", tmp_path / "noisy.log.1"
    rotated.touch()
    with Stack(lambda line: None) as stack:
        stack.start(Process("noisy", (sys.executable, "-c", WRITER, "1000"), log))
        deadline, most = time.monotonic() + 30, 0
        while b"line 000999" not in log.read_bytes() + rotated.read_bytes():
            assert time.monotonic() < deadline
            most = max(most, log.stat().st_size)
            time.sleep(0.01)
    assert 0 < most < 500_000, "of a megabyte"
    assert rotated.stat().st_size > 0
