"""Whose state is shown: that of who lives, in whatever container, whatever its pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slipway.serving_state import observed
from slipway.serving_state.observed import RoleState, StateFile, WorkerState

ROOT = Path(__file__).resolve().parents[3]
WORKER = """
import os, sys, time
from pathlib import Path
from slipway.serving_state.observed import WorkerState
from slipway.serving_state.observed import StateFile
held = StateFile(Path(sys.argv[1]), "loans")
held.write(WorkerState(os.getpid(), 1, sys.argv[2], "1", "cpu", "pointer", "now"))
print("written", flush=True)
time.sleep(60)
"""
LIST_WORKERS = """
import sys
from pathlib import Path
from slipway.serving_state import observed
print([state.serving for state in observed.read(Path(sys.argv[1]), "loans")])
"""
OWN_PIDS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.fixture
def namespaces(needs) -> Path:
    return needs("unshare")


def state(digest: str = "aa", generation: int = 1) -> WorkerState:
    roles = {"champion": RoleState(digest, "1")}
    return WorkerState(os.getpid(), generation, digest, "1", "cpu", "pointer", "2026-01-01T00:00:00Z", roles)


@contextmanager
def worker(serving: Path, digest: str, *prefix: str) -> Iterator[subprocess.Popen[str]]:
    """A worker of another process, which has written its state and lives."""
    command = [*prefix, sys.executable, "-c", WORKER, str(serving), digest]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "written\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def shown(serving: Path) -> set[str | None]:
    return {found.serving for found in observed.read(serving, "loans")}


def test_a_state_is_shown_as_it_was_written_last_and_until_it_is_removed(tmp_path: Path) -> None:
    own = StateFile(tmp_path, "loans")
    own.write(state("aa"))
    own.write(state("bb", generation=2))
    assert observed.read(tmp_path, "loans") == [state("bb", generation=2)]
    own.remove()
    assert observed.read(tmp_path, "loans") == []


def test_the_state_of_a_killed_worker_is_not_shown_before_its_exit_code_is_collected(tmp_path: Path) -> None:
    with worker(tmp_path, "aa") as killed, worker(tmp_path, "bb"):
        assert shown(tmp_path) == {"aa", "bb"}
        killed.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        assert shown(tmp_path) == {"bb"}


@pytest.mark.usefixtures("namespaces")
def test_workers_of_two_containers_with_the_same_pid_are_both_shown_while_they_live(tmp_path: Path) -> None:
    with worker(tmp_path, "first", *OWN_PIDS), worker(tmp_path, "second", *OWN_PIDS):
        found = observed.read(tmp_path, "loans")
        assert [one.pid for one in found] == [1, 1], "and process 1 of this machine is neither"
        assert {one.serving for one in found} == {"first", "second"}
        observed.forget_dead(tmp_path, "loans")
        assert shown(tmp_path) == {"first", "second"}
    assert shown(tmp_path) == set()


@pytest.mark.usefixtures("namespaces")
def test_live_workers_are_visible_from_another_container(tmp_path: Path) -> None:
    with worker(tmp_path, "here"), worker(tmp_path, "gone") as killed:
        killed.kill()
        killed.wait()
        found = subprocess.check_output(
            [*OWN_PIDS, sys.executable, "-c", LIST_WORKERS, str(tmp_path)], cwd=ROOT, text=True
        )
    assert found == "['here']\n"


@pytest.mark.usefixtures("namespaces")
def test_after_a_restart_the_same_pid_is_another_worker(tmp_path: Path) -> None:
    """A container's workers get the same small pids at each start."""
    with worker(tmp_path, "before", *OWN_PIDS):
        pass
    with worker(tmp_path, "after", *OWN_PIDS):
        assert shown(tmp_path) == {"after"}
        observed.forget_dead(tmp_path, "loans")
        assert len(list((tmp_path / "loans" / "state").glob("*.json"))) == 1
        assert shown(tmp_path) == {"after"}


def test_a_reader_never_misses_a_worker_that_writes(tmp_path: Path) -> None:
    own, stopping = StateFile(tmp_path, "loans"), threading.Event()
    own.write(state())

    def write() -> None:
        generation = 1
        while not stopping.is_set():
            generation += 1
            own.write(state(generation=generation))

    writing = threading.Thread(target=write)
    writing.start()
    try:
        found = [len(observed.read(tmp_path, "loans")) for _ in range(500)]
        observed.forget_dead(tmp_path, "loans")
    finally:
        stopping.set()
        writing.join()
    assert set(found) == {1}
    assert len(observed.read(tmp_path, "loans")) == 1


def test_a_state_that_cannot_be_written_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = StateFile(tmp_path, "loans")
    own.write(state("aa"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        own.write(state("bb"))
    monkeypatch.undo()
    assert shown(tmp_path) == {"aa"}
    own.write(state("cc"))
    assert shown(tmp_path) == {"cc"}


def test_the_drafts_of_a_dead_worker_are_removed_with_its_state(tmp_path):
    dead = StateFile(tmp_path, "loans")
    dead.write(state())
    (content,) = (tmp_path / "loans" / "state").glob("*.json")
    content.with_name(f".{content.name}.1-abcd.tmp").write_text("{")
    del dead  # and with it its lock, as a kill does
    observed.forget_dead(tmp_path, "loans")
    assert list((tmp_path / "loans" / "state").iterdir()) == []


def test_a_worker_that_serves_several_use_cases_is_found_once_and_a_dead_one_not(tmp_path: Path) -> None:
    for usecase in ("loans", "digits"):
        dead = tmp_path / usecase / "state" / "1-abcd.lock"
        dead.parent.mkdir(parents=True)
        dead.touch()
        dead.with_name("no-pid.lock").touch()
    own = [StateFile(tmp_path, usecase) for usecase in ("loans", "digits")]
    assert observed.living_pids(tmp_path, ["loans", "digits", "wines"]) == []
    own[1].write(state())
    assert observed.living_pids(tmp_path, ["loans", "digits", "wines"]) == [os.getpid()]
    own[0].write(state())
    assert observed.living_pids(tmp_path, ["loans", "digits", "wines"]) == [os.getpid()]
