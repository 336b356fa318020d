"""Simulated callers: `slipway traffic` with rows of the simulated world, followed by their labels."""

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
    """Clients that send rows at a steady rate, before and after the drift.

    `failures` counts every request that was not answered, and every label that was not accepted.
    """

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
        """Send rows from before or after the drift, and wait until the last label has been sent."""
        self._count(self._start(rows, changed).result())

    def keep_sending(self) -> None:
        """Start sending rows from after the drift, until `stop`."""
        self._sending = self._start(RATE * _MOST_SECONDS, changed=True)

    def failure(self) -> str:
        """Say why traffic that should flow has ended; "" while it flows."""
        return "the traffic ended by itself: see logs/loop-traffic.log." if self._traffic_finished() else ""

    def stop(self) -> None:
        """Stop the traffic that `keep_sending` started, and count its requests."""
        if self._sending:
            self._sending.interrupt()
            self._count(self._sending.result())
            self._sending = None

    def _start(self, rows: int, changed: bool) -> Job:
        self._seed += 1
        file = shifted_world.write(self._usecase, self._folder / f"{self._seed}.parquet", rows, self._seed, changed)
        argv = ["traffic", self._usecase.name, "--from", str(file), "--rate", str(RATE)]
        return self._jobs.start(*argv, "--labels", "1", "--label-delay", str(LABEL_DELAY))

    def _traffic_finished(self) -> bool:
        return self._sending is not None and not self._sending.running

    def _count(self, report: dict[str, Any]) -> None:
        self.sent += report["sent"]
        self.failures += report["failures"] + report["labels"]["failed"]
        self.reasons.update(report["reasons"])
        self.versions.update(report["versions"])
