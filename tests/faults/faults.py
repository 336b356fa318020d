"""Faults in the middle of what a process does to the outside: to the registry, to Prefect, to the log's place.

Everything that a process does there is an effect, and numbered. A fault is at one of them: from it on the other side is
gone, its answer never comes, or the process is killed once it has taken place. Only for processes that end with it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from slipway.storage.local import LocalStore

REGISTRY, PREFECT, LOG = "registry", "prefect", "log"
GONE, UNWRITABLE, LOST, KILLED = "gone", "unwritable", "lost", "killed"
_READS = ("GET", "HEAD")
_SEARCHES = ("/search", "/filter")


class Effect(msgspec.Struct, frozen=True):
    """`what` is the request, or the method and the name of a file in the log's place."""

    target: str
    what: str
    writes: bool


class Fault(msgspec.Struct, frozen=True):
    """At the effect of this number, from 1: see the module. `target` is who is gone; None where the process dies."""

    kind: str
    at: int
    target: str | None = None


@dataclass
class Injector:
    """Counts the effects of this process, and makes the fault happen; `servers` names the targets by host and port."""

    fault: Fault | None
    servers: dict[str, str]

    def __post_init__(self) -> None:
        self.effects: list[Effect] = []
        self._lock = threading.Lock()

    def install(self) -> None:
        """For the rest of this process."""
        self._wrap_urllib()
        self._wrap_requests()
        for name, writes in (("read", False), ("names", False), ("has", False), ("put", True), ("remove", True)):
            self._wrap_place(name, writes)
        self._wrap_whole()

    @contextmanager
    def effect(self, target: str, what: str, writes: bool, error: Callable[[], BaseException]) -> Iterator[None]:
        with self._lock:
            self.effects.append(Effect(target, what, writes))
            number = len(self.effects)
        if self._is_away(target, writes, number):
            raise error()
        yield
        if self.fault and self.fault.at == number and self.fault.kind == LOST:
            raise error()
        if self.fault and self.fault.at == number and self.fault.kind == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_away(self, target: str, writes: bool, number: int) -> bool:
        fault = self.fault
        if fault is None or fault.target != target or number < fault.at:
            return False
        return fault.kind == GONE or (fault.kind == UNWRITABLE and writes)

    def _request(self, method: str, url: str, error: Callable[[], BaseException]) -> Any:
        parts = urlsplit(url)
        target = self.servers.get(parts.netloc, "elsewhere")
        route = parts.path.removeprefix("/api/2.0/")
        writes = not method.endswith(_READS) and not route.endswith(_SEARCHES)
        return self.effect(target, f"{method} {route}", writes, error)

    def _wrap_urllib(self) -> None:
        real = urllib.request.urlopen

        def urlopen(asked: Any, *args: Any, **kwargs: Any) -> Any:
            request = asked if isinstance(asked, urllib.request.Request) else urllib.request.Request(asked)
            with self._request(request.get_method(), request.full_url, lambda: urllib.error.URLError("a fault")):
                return real(asked, *args, **kwargs)

        urllib.request.urlopen = urlopen

    def _wrap_requests(self) -> None:
        """What MLflow's client sends its requests with, where it is loaded: they are told from our own."""
        if (requests := sys.modules.get("requests")) is None:
            return
        real = requests.adapters.HTTPAdapter.send

        def send(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            with self._request(
                f"client {request.method}", request.url, lambda: requests.exceptions.ConnectionError("a fault")
            ):
                return real(adapter, request, *args, **kwargs)

        requests.adapters.HTTPAdapter.send = send

    def _wrap_place(self, method: str, writes: bool) -> None:
        real = getattr(LocalStore, method)

        def wrapped(folder: LocalStore, name: str, *args: Any) -> Any:
            with self.effect(LOG, f"{method} {name}", writes, _gone):
                return real(folder, name, *args)

        setattr(LocalStore, method, wrapped)

    def _wrap_whole(self) -> None:
        real = LocalStore.whole

        @contextmanager
        def whole(folder: LocalStore, name: str) -> Iterator[Any]:
            with self.effect(LOG, f"whole {name}", True, _gone), real(folder, name) as draft:
                yield draft

        LocalStore.whole = whole


def _gone() -> OSError:
    return OSError(5, "Input/output error (a fault)")
