"""Memory that a new process may still take: what the kernel has available, within the limits of our control groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
# Files of a control group by version: limit, usage, and the line of memory.stat with what the kernel gives back.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes(proc: Path = Path("/proc"), cgroups: Path = _CGROUPS) -> int | None:
    """Return the least that the kernel and each control group above this process have left; None if nobody says."""
    found = [*_kernel_bytes(proc / "meminfo"), *_group_bytes(proc / "self" / "cgroup", cgroups)]
    return max(0, min(found)) if found else None


def _kernel_bytes(meminfo: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024


def _group_bytes(membership: Path, cgroups: Path) -> Iterator[int]:
    """Yield what each group leaves. A container sees its own group at the top, whatever the path in `membership` is."""
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, _, named = line.partition(":")
            controllers, _, path = named.partition(":")
            if controllers and "memory" not in controllers.split(","):
                continue
            top, names = (cgroups / "memory", _V1) if controllers else (cgroups, _V2)
            group = top / path.strip("/")
            for folder in (group, *group.parents):
                yield from _left(folder, *names)
                if folder == top:
                    break


def _left(group: Path, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):  # no such group here, or it has no limit ("max")
        most = int((group / limit).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        yield most - int((group / usage).read_text()) + int(stat.get(reclaimable, 0))
