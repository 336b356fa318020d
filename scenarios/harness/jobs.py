"""Processes of the `slipway` commands that a scenario runs, several at once; all of them end with the scenario."""

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
from slipway.system.processes import die_with


class Job:
    """Process of one command; `result()` waits for its end and returns its `--json` output."""

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
        """Whether the process has not ended yet."""
        return self._popen.poll() is None

    def result(self) -> Any:
        """Wait for the end of the command and return its parsed output.

        Raises:
            ServiceError: the command printed no result; the message has the last line of its log.
        """
        out, _ = self._popen.communicate()
        try:
            return json.loads(out)
        except ValueError:
            lines = self._log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            code = self._popen.returncode
            raise ServiceError(
                f"`{self.line}` ended with exit code {code}: {lines[-1]} (full log: {self._log})"
            ) from None

    def interrupt(self) -> None:
        """Interrupt the command as Ctrl-C does; its result covers what it did until then."""
        self._popen.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Terminate the command and drop its output."""
        self._popen.terminate()
        self._popen.communicate()


class Jobs:
    """Commands of a scenario; the end of the `with` block ends those that still run."""

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
        """Start `slipway ARGV --json`; its standard error goes to SCENARIO-COMMAND.log."""
        job = Job(self._logs / f"{self._scenario}-{argv[0]}.log", argv)
        self._all.append(job)
        return job
