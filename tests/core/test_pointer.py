from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from slipway import pointer
from slipway.errors import BundleError
from slipway.pointer import Canary, Pointer, RoleState, WorkerState


def test_a_pointer_with_all_its_roles_outlasts_its_file(tmp_path: Path) -> None:
    assert pointer.read(tmp_path, "loans") is None
    whole = Pointer(4, "aa", Canary("bb", 0.1), "cc")
    pointer.write(tmp_path, "loans", whole)
    assert pointer.read(tmp_path, "loans") == whole


def test_what_is_no_pointer_is_said(tmp_path: Path) -> None:
    pointer.write(tmp_path, "loans", Pointer(1))
    pointer.pointer_path(tmp_path, "loans").write_text("{")
    with pytest.raises(BundleError, match=r"pointer\.json is not what Slipway writes there"):
        pointer.read(tmp_path, "loans")


def test_the_state_of_a_dead_worker_is_not_shown(tmp_path: Path) -> None:
    ended, killed = subprocess.Popen(["true"]), subprocess.Popen(["sleep", "60"])
    ended.wait()
    killed.kill()
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # nobody has asked for its exit code yet
    for pid in (os.getpid(), ended.pid, killed.pid):
        roles = {"champion": RoleState("aa", "1")}
        state = WorkerState(pid, 1, "aa", "1", "cpu", "pointer", "2026-01-01T00:00:00Z", roles)
        pointer.write_state(tmp_path, "loans", state)
    assert [state.pid for state in pointer.read_states(tmp_path, "loans")] == [os.getpid()]
    killed.wait()


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    pointer.write_whole(path, {"a": 1})
    inode = path.stat().st_ino
    pointer.write_whole(path, {"a": 2})
    assert path.stat().st_ino != inode
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
