"""A stack of processes, ended in the reverse of the order in which they were started."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from slipway.clients.http import is_healthy
from slipway.errors import PortTaken, ServiceError
from slipway.local.state import ServiceStatus, StackLock, State
from slipway.system.ports import is_free
from slipway.system.processes import Process, RunningProcess

START_SECONDS = 120.0
FREED_SECONDS = 3.0  # what was killed may hold its port a moment longer
ROTATION_SECONDS = 1.0  # between two looks at the logs' sizes


class Stack:
    """A context manager of processes: whatever ends its block (an error, Ctrl-C, SIGTERM) ends all of them."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._running: dict[str, RunningProcess] = {}
        self._lock: StackLock | None = None
        self._command = ""
        self._env: dict[str, str] = {}
        self._ready = False
        self._signals: dict[int, Any] = {}
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._rotate_logs, name="log-rotation", daemon=True).start()
        for number, handler in _HANDLERS.items():
            self._signals[number] = signal.signal(number, handler)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        try:
            with _no_interruption():
                self.stop()
                if self._lock:
                    self._lock.release()
        finally:
            for number, handler in self._signals.items():
                signal.signal(number, handler)

    def claim(self, var: Path, command: str) -> None:
        """Become the one stack of `var`, which `slipway status` and `slipway down` find there.

        Raises:
            ServiceError: another stack runs from `var`.
        """
        self._lock = StackLock(var)
        self._command = command
        self._publish()

    def publish_environment(self, env: Mapping[str, str]) -> None:
        """Publish the variables that lead other commands to this stack's servers."""
        self._env = dict(env)
        self._publish()

    def start(self, *processes: Process, seconds: float = START_SECONDS) -> None:
        """Start the processes together and wait until all of them are healthy.

        Raises:
            PortTaken: the port of one is in use, where another server would pass for it; none of them is started.
            ServiceError: one ended or did not become healthy; with the end of its log.
        """
        for process in processes:
            _require_free_port(process)
        started = time.monotonic()
        for process in processes:
            self._running[process.name] = RunningProcess(process)
        self._publish()
        for process in processes:
            healthy = partial(is_healthy, headers=process.health_headers)
            self._running[process.name].wait_ready(seconds, healthy)
            where = f" at {process.url}" if process.url else ""
            self._say(f"  {process.name} is up{where} ({time.monotonic() - started:.0f} s)")

    def ready(self) -> None:
        """Publish that all processes run, for commands that wait for the stack."""
        self._ready = True
        self._publish()

    def keep(self, sleep: Callable[[float], None] = time.sleep, look: Callable[[], None] = lambda: None) -> None:
        """Watch the processes until an error or a signal ends it; `look` is called once a second.

        Raises:
            ServiceError: a process ended by itself; with the end of its log.
        """
        while True:
            for name, running in self._running.items():
                if not running.alive:
                    raise ServiceError(
                        f"{name} {running.ending}. The end of {running.process.log}:\n{running.last_lines()}"
                    )
            look()
            sleep(1.0)

    def stop(self, *names: str) -> None:
        """End the named processes, or all, each before those that were started earlier."""
        for name in reversed(list(self._running)):
            if not names or name in names:
                self._running.pop(name).stop()
        self._publish()

    def _rotate_logs(self) -> None:
        """Rotate logs until the stack ends: what a client makes the service write must not fill the disk."""
        while not self._ended.wait(ROTATION_SECONDS):
            for running in list(self._running.values()):
                running.rotate_log()

    def _publish(self) -> None:
        if self._lock:
            parts = tuple(
                ServiceStatus(name, running.pid, str(running.process.log), running.process.url)
                for name, running in self._running.items()
            )
            self._lock.write(State(os.getpid(), self._command, self._env, parts, self._ready))


def _require_free_port(process: Process) -> None:
    """Raise PortTaken if the port where the process is to be reached stays in use."""
    parts = urlsplit(process.url or "")
    host, port = parts.hostname, parts.port
    if host is None or port is None:
        return
    deadline = time.monotonic() + FREED_SECONDS
    while not is_free(port, host):
        if time.monotonic() > deadline:
            raise PortTaken(
                f"{process.name} cannot listen on {host}:{port}: the port is in use. End the program that uses it "
                f"(`ss -tanp sport = :{port}` names it), or set {process.port_setting or 'its port'} to a free port."
            )
        time.sleep(0.1)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


# Ctrl-C ends a stack in the background of a script, too, where the shell has it ignored.
_HANDLERS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _leave, signal.SIGHUP: _leave}


@contextmanager
def _no_interruption() -> Iterator[None]:
    """A second Ctrl-C must not leave half of the processes behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _HANDLERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
