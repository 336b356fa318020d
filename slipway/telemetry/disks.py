"""Size and free space of the volumes that a process writes to."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class DiskMetrics(Collector):
    """The volumes of some folders, by name, as they were at the last `measure`.

    They are not measured in a scrape, which a volume that hangs would hold up.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)
        self._found: dict[str, tuple[int, int]] = {}

    def measure(self) -> None:
        """Measure each volume; one that cannot be read is left out."""
        found = {}
        for name, folder in self._folders.items():
            with contextlib.suppress(OSError):
                usage = shutil.disk_usage(_existing(folder))
                found[name] = usage.free, usage.total
        self._found = found

    def collect(self) -> Iterator[Metric]:
        free = GaugeMetricFamily(
            "slipway_disk_free_bytes",
            "Free space of the volume of a folder: `state`, `log` or `tmp`.",
            labels=["folder"],
        )
        size = GaugeMetricFamily("slipway_disk_size_bytes", "Size of the volume of a folder.", labels=["folder"])
        for name, (left, total) in self._found.items():
            free.add_metric([name], left)
            size.add_metric([name], total)
        yield from (free, size)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there: a log has none before its first event."""
    return next(path for path in (folder, *folder.parents) if path.exists())
