"""Processes with a session and a log of their own, which end with their parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slipway.errors import ServiceError
from slipway.system.log_files import empty_log, readable, rotate

_PR_SET_PDEATHSIG = 1
_LAST_LINES = 15


@dataclass(frozen=True)
class Process:
    """A process to start: `argv` with `env` added to ours, output in `log`; up when `health_url` is healthy, to a
    request with `health_headers`.

    Without a log the output goes where ours does. `port_setting` names the setting of the port in `url`.
    """

    name: str
    argv: tuple[str, ...]
    log: Path | None
    env: Mapping[str, str] = field(default_factory=dict)
    health_url: str | None = None
    url: str | None = None
    health_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    port_setting: str = ""


class RunningProcess:
    """A started process, the leader of a session, so that Ctrl-C reaches it only through its parent."""

    def __init__(self, process: Process) -> None:
        self.process = process
        parent = os.getpid()
        with empty_log(process.log) if process.log else contextlib.nullcontext() as log:
            self._popen = subprocess.Popen(
                process.argv,
                env={**os.environ, **process.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log and subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with(parent),
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self._popen.returncode == -signal.SIGKILL:
            return "was killed, as the kernel does where memory runs out (`slipway doctor` shows what there is)"
        return f"ended with exit code {self._popen.returncode}"

    def wait_ready(
        self, seconds: float, is_healthy: Callable[[str], bool], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Wait until the health URL is healthy.

        Raises:
            ServiceError: the process ended, or was not healthy in time; with the last lines of its log.
        """
        deadline = time.monotonic() + seconds
        url = self.process.health_url
        while True:
            if not self.alive:
                raise ServiceError(self._report(f"{self.ending} while starting"))
            if url is None or is_healthy(url):
                return
            if time.monotonic() > deadline:
                raise ServiceError(self._report(f"did not respond at {url} within {seconds:.0f} s"))
            sleep(0.25)

    def stop(self, seconds: float = 10.0) -> None:
        """End the process and all that it started: by SIGTERM, and after `seconds` by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def rotate_log(self) -> None:
        """Rotate the log if it is too long."""
        if self.process.log is not None:
            rotate(self.process.log)

    def last_lines(self) -> str:
        if self.process.log is None:
            return ""
        lines = self.process.log.read_text(errors="replace").rstrip().splitlines()
        return "\n".join(f"  {readable(line)}" for line in lines[-_LAST_LINES:])

    def _report(self, what: str) -> str:
        end = f" The end of {self.process.log}:\n{self.last_lines()}" if self.process.log else ""
        return f"{self.process.name} {what}.{end}"


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent dies, however it dies (prctl(2), Linux only)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
