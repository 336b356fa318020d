"""A folder as the object store: what is in place of an object is an error at once, and no other file is ever read."""

from pathlib import Path

import pytest

from slipway.storage.local import LocalStore
from tests.support.damages import DAMAGES


@pytest.mark.parametrize("damage", ["a pipe", "a folder", "a file of gigabytes"])
def test_what_is_no_object_is_an_error_at_once(tmp_path: Path, damage: str) -> None:
    DAMAGES[damage](tmp_path / "latest.json")
    with pytest.raises(OSError, match=r"latest\.json"):
        LocalStore(str(tmp_path)).read("latest.json")


@pytest.mark.parametrize("target", ["/etc/hostname", "/dev/zero", "latest.json"])
def test_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "latest.json").symlink_to(target)
    with pytest.raises(OSError, match=r"latest\.json"):
        LocalStore(str(tmp_path)).read("latest.json")


def test_an_object_is_read_whole(tmp_path: Path) -> None:
    LocalStore(str(tmp_path)).put("a/b", content := b"x" * 1_000_000)
    assert LocalStore(str(tmp_path)).read("a/b") == content


def test_a_folder_is_removed_with_all_that_is_in_it_and_what_a_link_leads_to_is_not(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    for name in ("dates/2026-03-01/a", "dates/2026-03-01/of/b", "elsewhere/a"):
        store.put(name, b"content")
    (tmp_path / "dates" / "2026-03-02").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        store.remove_folder("dates/2026-03-01")
    with pytest.raises(OSError):
        store.remove_folder("dates/2026-03-02")
    assert store.names("elsewhere") == ["a"]
    assert store.names("dates") == ["2026-03-02"]
