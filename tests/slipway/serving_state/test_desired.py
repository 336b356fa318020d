from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import BundleError
from slipway.serving_state import desired
from slipway.serving_state.desired import Canary, DesiredState
from slipway.system import files


def test_a_pointer_with_all_its_roles_outlasts_its_file(tmp_path: Path) -> None:
    assert desired.read(tmp_path, "loans") is None
    whole = DesiredState(4, "aa", Canary("bb", 0.1, "ab12"), "cc")
    desired.write(tmp_path, "loans", whole)
    assert desired.read(tmp_path, "loans") == whole


def test_an_invalid_pointer_is_reported(tmp_path: Path) -> None:
    desired.write(tmp_path, "loans", DesiredState(1))
    desired.pointer_path(tmp_path, "loans").write_text("{")
    with pytest.raises(BundleError, match=r"pointer\.json is not what Slipway writes there"):
        desired.read(tmp_path, "loans")


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})
    inode = path.stat().st_ino
    files.write_json(path, {"a": 2})
    assert path.stat().st_ino != inode
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
