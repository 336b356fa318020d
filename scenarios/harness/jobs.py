"""Slipway's own commands as demo and loop run them: processes like a person's, several at once, none left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from slipway.errors import ServiceError
from slipway.local import die_with


class Job:
    """One command; `result()` waits for it and is its `--json`."""

    def __init__(self, log: Path, argv: tuple[str, ...]) -> None:
        self.line = f"slipway {' '.join(argv)}"
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()
        with log.open("ab") as errors:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "slipway.cli", *argv, "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                preexec_fn=lambda: die_with(parent),
            )

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def result(self) -> Any:
        """What the command printed.

        Raises:
            ServiceError: it printed no result; with the last line that it said.
        """
        out, _ = self._popen.communicate()
        try:
            return json.loads(out)
        except ValueError:
            said = self._log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            code = self._popen.returncode
            raise ServiceError(
                f"`{self.line}` ended with exit code {code}: {said[-1]} (all of it: {self._log})"
            ) from None

    def interrupt(self) -> None:
        """End it as Ctrl-C does: its result is what it did until then."""
        self._popen.send_signal(signal.SIGINT)

    def end(self) -> None:
        self._popen.terminate()
        self._popen.communicate()


class Jobs:
    """The commands of a scenario; leaving the block ends those that still run."""

    def __init__(self, logs: Path, scenario: str = "demo") -> None:
        self._logs = logs
        self._scenario = scenario
        self._all: list[Job] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for job in self._all:
            if job.running:
                job.end()

    def start(self, *argv: str) -> Job:
        job = Job(self._logs / f"{self._scenario}-{argv[0]}.log", argv)
        self._all.append(job)
        return job
