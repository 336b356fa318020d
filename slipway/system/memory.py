"""Memory that a process may take: what the kernel has available, within the limits of its control groups."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


class _Names(NamedTuple):
    """Files of a control group: limit, usage, and the line of memory.stat with what the kernel gives back."""

    limit: str
    usage: str
    reclaimable: str


_V2 = _Names("memory.max", "memory.current", "inactive_file")
_V1 = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Return the least that the kernel and each control group above this process have left; None if nobody says."""
    groups = _groups(proc / "self" / "cgroup", cgroups)
    found = [*_kernel_bytes(proc / "meminfo"), *(left for group, names in groups for left in _left(group, names))]
    return max(0, min(found)) if found else None


def limit_bytes(pid: int, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Return the least limit of the control groups above a process; None where none limits its memory.

    A limit above the memory of the machine is none: version 1 has a number of that kind for "no limit".
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    groups = _groups(proc / str(pid) / "cgroup", cgroups)
    limits = [limit for group, names in groups for limit in _number(group / names.limit)]
    return min((limit for limit in limits if limit < memory), default=None)


def _kernel_bytes(meminfo: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024


def _groups(membership: Path, cgroups: Path) -> Iterator[tuple[Path, _Names]]:
    """Yield each group above a process, with the names of its files.

    A container sees its own group at the top, whatever the path in `membership` is.
    """
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, _, named = line.partition(":")
            controllers, _, path = named.partition(":")
            if controllers and "memory" not in controllers.split(","):
                continue
            top, names = (cgroups / "memory", _V1) if controllers else (cgroups, _V2)
            group = top / path.strip("/")
            for folder in (group, *group.parents):
                yield folder, names
                if folder == top:
                    break


def _number(path: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):  # no such group here, or it has no limit ("max")
        yield int(path.read_text())


def _left(group: Path, names: _Names) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):  # the same
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        most, used = (int((group / name).read_text()) for name in (names.limit, names.usage))
        yield most - used + int(stat.get(names.reclaimable, 0))
