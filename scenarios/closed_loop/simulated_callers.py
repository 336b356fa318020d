"""The callers of the loop: `slipway traffic` with rows of the world, and the labels that follow its answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from scenarios.closed_loop import shifted_world
from scenarios.harness.jobs import Job, Jobs
from slipway.config import UseCase

RATE = 100
LABEL_DELAY = 2.0
_MOST_SECONDS = 900


class SimulatedCallers:
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
        self._seed = 100

    def send(self, rows: int, changed: bool) -> None:
        """Send so many rows of the world as it was, or as it is; returns when the last label has been sent."""
        self._count(self._start(rows, changed).result())

    def keep_sending(self) -> None:
        """Send rows of the changed world, until `stop`."""
        self._sending = self._start(RATE * _MOST_SECONDS, changed=True)

    def trouble(self) -> str:
        """Why nobody calls any more although somebody should; "" where all is well."""
        return "the traffic ended by itself: see logs/loop-traffic.log." if self._ended() else ""

    def stop(self) -> None:
        if self._sending:
            self._sending.interrupt()
            self._count(self._sending.result())
            self._sending = None

    def _start(self, rows: int, changed: bool) -> Job:
        self._seed += 1
        file = shifted_world.write(self._usecase, self._folder / f"{self._seed}.parquet", rows, self._seed, changed)
        argv = ["traffic", self._usecase.name, "--from", str(file), "--rate", str(RATE)]
        return self._jobs.start(*argv, "--labels", "1", "--label-delay", str(LABEL_DELAY))

    def _ended(self) -> bool:
        return self._sending is not None and not self._sending.running

    def _count(self, report: dict[str, Any]) -> None:
        self.sent += report["sent"]
        self.failures += report["failures"] + report["labels"]["failed"]
        self.reasons.update(report["reasons"])
        self.versions.update(report["versions"])
