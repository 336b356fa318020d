"""Watch process, the one long-lived process of monitoring: reconciler, rollouts, status page, metrics, retention."""

from __future__ import annotations

import logging
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import uvicorn

from monitoring.governance.registry_watcher import RegistryWatcher
from monitoring.release.reconciler import Reconciler
from monitoring.retention import housekeeping
from monitoring.rollout import RolloutController
from monitoring.status import dashboard
from monitoring.status.app import application
from monitoring.status.pass_metrics import PassMetrics
from monitoring.status.search_status import SearchStatus
from monitoring.telemetry.collector import TelemetryCollector
from slipway import config as usecases
from slipway.clients.mlflow.registry import Registry
from slipway.errors import PortTaken, RegistryError, ServiceError
from slipway.settings import Settings
from slipway.system import locks
from slipway.system.ports import url_at

PASS_SECONDS = 5.0
HINT_SECONDS = 0.5  # between two looks at what MLflow's webhook reported
STUCK_SECONDS = 120.0
_REGISTRY_SECONDS = 5.0
_log = logging.getLogger("slipway.watch")


class Watcher:
    """Takes a pass every few seconds in its own thread; `board` is the last dashboard.

    Between two passes it looks at the use cases that MLflow's webhook reported.
    """

    def __init__(self, names: Sequence[str], config: Settings) -> None:
        self._names = list(names)
        self._config = config
        self._registry = Registry(config.registry_uri, _REGISTRY_SECONDS)
        self._reconciler = Reconciler(config, self._registry)
        self._rollouts = RolloutController(config, self._registry)
        self._changes = RegistryWatcher(config, self._registry)
        self._current: frozenset[str] = frozenset()
        search = SearchStatus(config)
        self._telemetry = TelemetryCollector(config, lambda: self._current, others=search.look)
        self._hinted: set[str] = set()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._last = time.monotonic()
        self.passes = PassMetrics()
        self.board = dashboard.Dashboard(config.environment, "", [], [])

    def start(self) -> None:
        self.board = dashboard.gather(self._config, [], telemetry=self._telemetry.latest)
        self._thread.start()
        self._telemetry.start()

    def stop(self) -> None:
        self._stop.set()
        self._telemetry.stop()
        self._wake.set()
        self._thread.join(PASS_SECONDS)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive() and time.monotonic() - self._last < STUCK_SECONDS

    def pass_once(self) -> None:
        """Take one pass over every use case's rollout, reconciler and registry watcher; then update the dashboard."""
        with self.passes.measured():
            names = self._watched()
            self._current = frozenset(names)
            self._hinted.clear()
            rollouts = {name: self._rollouts.once(name) for name in names}
            passes = [self._reconciler.once(name) for name in names]
            changed = {name: self._changes.once(name) for name in names}
            self.board = dashboard.gather(self._config, passes, rollouts, changed, self._telemetry.latest)

    def hint(self, usecase: str) -> bool:
        """Have a use case looked at before the next pass; returns whether it is watched. Other threads may call it."""
        if usecase not in self._current:
            return False
        self._hinted.add(usecase)
        self._wake.set()
        return True

    def look(self, usecase: str) -> None:
        """Compare one use case's registry with its last snapshot, and reconcile it."""
        self._changes.once(usecase)
        self._reconciler.once(usecase)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._attempt(self.pass_once)
            self._last = time.monotonic()
            self._wait_for_hints(self._last + PASS_SECONDS)

    def _wait_for_hints(self, until: float) -> None:
        """Wait until the next pass is due, and look at what was hinted in the meantime, not all too often."""
        while (left := until - time.monotonic()) > 0 and not self._stop.is_set():
            if not self._wake.wait(left):
                return
            self._wake.clear()
            while self._hinted and time.monotonic() < until and not self._stop.is_set():
                self._attempt(partial(self.look, self._hinted.pop()))
            self._stop.wait(HINT_SECONDS)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:  # whatever fails in one pass, the next one may succeed
            _log.exception("a pass failed")

    def _watched(self) -> list[str]:
        """The given use cases, else those of SLIPWAY_SERVE, else those with a folder here, else the registry's."""
        if names := self._names or list(self._config.serve) or usecases.names():
            return names
        try:
            return [model.name for model in self._registry.models() if re.fullmatch(usecases.NAME, model.name)]
        except RegistryError:
            return []


def watch(names: Sequence[str], config: Settings, say: Callable[[str], None]) -> None:
    """Run until SIGTERM or Ctrl-C.

    Raises:
        ServiceError: another watch process uses this environment and state folder.
        PortTaken: the status page's port is in use.
    """
    with (
        _exclusive(config),
        _bound(config.status_host, config.status_port) as listening,
        _stopped_by_signals(),
        housekeeping.running(config),
    ):
        watcher = Watcher(names, config)
        watcher.start()
        say(f"status page: {url_at(config.status_host, config.status_port)}")
        say(f"reconciling {config.follow_alias} in {config.environment} with {', '.join(config.server_urls)}")
        app = application(config, lambda: watcher.board, lambda: watcher.is_alive, watcher.hint, [watcher.passes])
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,  # its lines go where the others go
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=2,
            )
        )
        try:
            server.run(sockets=[listening])
        finally:
            watcher.stop()


@contextmanager
def _exclusive(config: Settings) -> Iterator[None]:
    """Hold the lock of the environment: two reconcilers would move an alias against each other."""
    path = config.var / f"reconcile-{config.environment}.lock"
    try:
        lock = locks.acquire(path)
    except BlockingIOError:
        raise ServiceError(
            f"another `slipway watch` reconciles {config.environment} from {config.var} (it holds {path}): "
            "`slipway status` shows it."
        ) from None
    with lock:
        yield


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"{host}:{port}, for the status page, is not available ({error.strerror}): "
                "set SLIPWAY_STATUS_PORT or SLIPWAY_STATUS_HOST."
            ) from None
        yield listening


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Ignore the signals that uvicorn raises again after it has stopped, so that the process ends cleanly."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
