"""Files of workers that have died: their counts are added up in one file per kind, however many workers die.

That file also names the files that it has taken in, after its last series, until they are removed: whenever a worker
is killed, a scrape leaves these out, and the next worker removes them. Who changes files of the dead holds a lock. A
scrape does not: it reads again if `state` is another afterwards.
"""

from __future__ import annotations

import contextlib
import math
import os
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

from bentos.telemetry.metrics_file import MetricsFile
from bentos.telemetry.reserved_file import ENTRY_BYTES, ReservedFile, reserve
from slipway.system import files, locks

_KINDS = ("counter", "histogram")  # gauges end with their worker
_NAME = "{}_dead.db"
_HEAD_BYTES = 8


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock on the files of the dead, after what a killed worker left undone is done. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        locks.lock(descriptor, wait=True)
        for combined in _combined(folder).values():
            _remove_taken_in(combined)
        yield
    finally:
        os.close(descriptor)


def state(folder: Path) -> list[tuple[int, ...]]:
    """Return what is another after each change of the files with the counts of the dead."""
    found = []
    for combined in _combined(folder).values():
        with contextlib.suppress(FileNotFoundError):
            stat = combined.stat()
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return found


def taken_in(path: Path) -> set[Path]:
    """Return the files whose counts this file has, too: none unless it is one of the dead. Raises OSError."""
    if path.name not in map(_NAME.format, _KINDS):
        return set()
    content = path.read_bytes()
    (used,) = struct.unpack_from("i", content)
    names = content[used:].rstrip(b"\0").decode(errors="replace").split()
    return {other for other in path.parent.glob(f"{path.stem.partition('_')[0]}_*.db") if other.name in names}


def combine(folder: Path) -> None:
    """Add up the counts of dead workers, with the lock held. Damaged files stay as they are. Raises OSError."""
    for kind, target in _combined(folder).items():
        readable = _readable(sorted(folder.glob(f"{kind}_*.db")))
        dead = [file for file in readable if _is_dead(file.path)]
        if dead and (not target.exists() or target in [file.path for file in readable]):
            before = [file for file in readable if file.path == target]
            _write(target, _sums([*before, *dead], readable), [file.path.name for file in dead])
            _remove_taken_in(target)


def forget(folder: Path, **labels: str) -> None:
    """Leave out series in the files of processes that have ended. Each worker does so, to the same effect.

    Otherwise the sum of all workers would fall to what these had counted.
    """
    with contextlib.suppress(OSError), locked(folder):
        combined = _combined(folder).values()
        for path in folder.glob("*_*.db"):
            if path in combined or _is_dead(path):
                with contextlib.suppress(Exception):  # whatever a damaged file makes of it
                    file = ReservedFile(str(path))
                    file.forget(**labels)
                    file.close()


def _combined(folder: Path) -> dict[str, Path]:
    """The files with the counts of the dead, by kind."""
    return {kind: folder / _NAME.format(kind) for kind in _KINDS}


def _is_dead(path: Path) -> bool:
    pid = path.stem.rpartition("_")[2]
    return pid.isdigit() and not Path("/proc", pid).exists()


def _readable(paths: Sequence[Path]) -> list[MetricsFile]:
    found = []
    for path in paths:
        with contextlib.suppress(Exception):  # whatever a damaged file makes of it
            if path.is_file():
                file = MetricsFile(path)
                file.read()
                found.append(file)
    return found


def _sums(dead: Sequence[MetricsFile], every: Sequence[MetricsFile]) -> dict[str, float]:
    """Add up the dead, so that the sum of all workers does not fall by the rounding of other summands.

    Prometheus would take that for a counter that began again. Sums of whole numbers are exact.
    """
    ours, all_values = _values(dead), _values(every)
    return {key: math.fsum(values) + _rounding(all_values[key]) for key, values in ours.items()}


def _values(found: Sequence[MetricsFile]) -> dict[str, list[float]]:
    values = defaultdict(list)
    for file in found:
        for key, value in zip(file.keys, file.values.tolist(), strict=True):
            values[key].append(value)
    return values


def _rounding(values: Sequence[float]) -> float:
    """Return how far two sums of these values may differ, at most."""
    if all(value.is_integer() for value in values):
        return 0.0
    return (len(values) + 1) * sys.float_info.epsilon * math.fsum(values)


def _write(target: Path, sums: dict[str, float], names: Sequence[str]) -> None:
    with files.replacing(target, durable=False, unique=False) as draft:
        draft.unlink(missing_ok=True)  # of a worker that was killed
        reserve(draft, _HEAD_BYTES + sum(len(key.encode()) + ENTRY_BYTES for key in sums))
        written = MmapedDict(str(draft))
        for key, value in sums.items():
            written.write_value(key, value, 0.0)
        written.close()
        os.truncate(draft, written._used)
        with draft.open("ab") as file:
            file.write(" ".join(names).encode())


def _remove_taken_in(target: Path) -> None:
    """Remove the files that this one has taken in, then their names: a new process may have one of these."""
    if not target.exists():
        return
    try:
        MetricsFile(target).read()
    except OSError:
        raise
    except Exception:  # it is damaged: scrapes leave it out, and its names
        return
    for path in taken_in(target):
        path.unlink(missing_ok=True)
    (used,) = struct.unpack_from("i", target.read_bytes())
    if target.stat().st_size > used:
        os.truncate(target, used)
