"""The callers of the loop: `slipway traffic` with rows of the world, and the labels that follow its answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from slipway.demo.jobs import Job, Jobs
from slipway.loop import world
from slipway.usecase import UseCase

RATE = 100
LABEL_DELAY = 2.0
_MOST_SECONDS = 900


class Callers:
    """Sends rows at a steady rate, before and after the change; `failures` counts every request of any of them that was
    not answered, and every label that was not taken."""

    def __init__(self, jobs: Jobs, usecase: UseCase, folder: Path) -> None:
        self.sent = self.failures = 0
        self.reasons: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self._jobs = jobs
        self._usecase = usecase
        self._folder = folder
        self._sending: Job | None = None

    def as_ever(self, rows: int) -> None:
        """Send so many rows of the world as it was; returns when the last label has been sent."""
        file = world.write(self._usecase, self._folder / "as-ever.parquet", rows, seed=101, changed=False)
        self._count(self._start(file).result())

    def changed(self) -> None:
        """Send rows of the changed world, until `stop`."""
        rows = RATE * _MOST_SECONDS
        file = world.write(self._usecase, self._folder / "changed.parquet", rows, seed=202, changed=True)
        self._sending = self._start(file)

    def trouble(self) -> str:
        """Why nobody calls any more although somebody should; "" where all is well."""
        return "the traffic ended by itself: see logs/loop-traffic.log." if self._ended() else ""

    def stop(self) -> None:
        if self._sending:
            self._sending.interrupt()
            self._count(self._sending.result())
            self._sending = None

    def _start(self, file: Path) -> Job:
        argv = ["traffic", self._usecase.name, "--from", str(file), "--rate", str(RATE)]
        return self._jobs.start(*argv, "--labels", "1", "--label-delay", str(LABEL_DELAY))

    def _ended(self) -> bool:
        return self._sending is not None and not self._sending.running

    def _count(self, report: dict[str, Any]) -> None:
        self.sent += report["sent"]
        self.failures += report["failures"] + report["labels"]["failed"]
        self.reasons.update(report["reasons"])
        self.versions.update(report["versions"])
