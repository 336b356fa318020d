"""Limits of memory by control groups, of both versions, as a container and a machine see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.system.memory import limit_bytes

NO_LIMIT = "9223372036854771712"  # as version 1 writes it


@pytest.mark.parametrize(
    ("membership", "limits", "found"),
    [
        ("0::/app/worker", {"app/worker/memory.max": "max", "app/memory.max": "5000000"}, 5_000_000),
        ("0::/app/worker", {"app/worker/memory.max": "4000000", "app/memory.max": "5000000"}, 4_000_000),
        ("0::/seen/outside", {"memory.max": "6000000"}, 6_000_000),  # in a container, whose own group is the top
        ("0::/app", {"app/memory.max": "max"}, None),
        ("0::/app", {}, None),
        ("0::/app", {"app/memory.max": "no number"}, None),
        ("9:memory:/app", {"memory/app/memory.limit_in_bytes": "7000000"}, 7_000_000),
        ("9:memory:/app", {"memory/app/memory.limit_in_bytes": NO_LIMIT}, None),
        ("8:cpu:/app", {"memory/app/memory.limit_in_bytes": "7000000"}, None),
        ("", {}, None),
    ],
)
def test_the_limit_of_a_process_is_the_least_of_its_groups(tmp_path: Path, membership, limits, found) -> None:
    process, groups = tmp_path / "proc" / "42", tmp_path / "cgroup"
    process.mkdir(parents=True)
    (process / "cgroup").write_text(membership + "\n")
    for name, limit in limits.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(f"{limit}\n")
    assert limit_bytes(42, tmp_path / "proc", groups) == found


def test_a_process_that_has_ended_has_no_limit(tmp_path: Path) -> None:
    assert limit_bytes(42, tmp_path, tmp_path) is None
