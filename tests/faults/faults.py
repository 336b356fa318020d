"""Fault injection into a process's effects on the outside: on the registry, on Prefect, on the object store.

Each request and each access to the store is an effect, and numbered. A fault is at one of them: from it on the target
is down, its response is lost, or the process is killed right after the effect. Only for processes that end afterwards.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from slipway.storage.local import LocalStore

REGISTRY, PREFECT, LOG = "registry", "prefect", "log"
GONE, UNWRITABLE, LOST, KILLED = "gone", "unwritable", "lost", "killed"
_READS = ("GET", "HEAD")
_SEARCHES = ("/search", "/filter")


class Effect(msgspec.Struct, frozen=True):
    """One effect; `what` is the request, or the method of the store and the file's name."""

    target: str
    what: str
    writes: bool


class Fault(msgspec.Struct, frozen=True):
    """Fault at the effect of this number, from 1; `target` is the side that is down, None if the process dies."""

    kind: str
    at: int
    target: str | None = None


@dataclass
class Injector:
    """Counter of the process's effects that injects the fault; `servers` maps host and port to the target."""

    fault: Fault | None
    servers: dict[str, str]

    def __post_init__(self) -> None:
        self.effects: list[Effect] = []
        self._lock = threading.Lock()

    def install(self) -> None:
        """Wrap HTTP and the store for the rest of this process."""
        self._wrap_httpx()
        self._wrap_requests()
        for name, writes in (("read", False), ("names", False), ("has", False), ("put", True), ("remove", True)):
            self._wrap_store(name, writes)
        self._wrap_draft()

    @contextmanager
    def effect(self, target: str, what: str, writes: bool, error: Callable[[], BaseException]) -> Iterator[None]:
        """Number the effect in the `with` block, and raise `error` or kill the process where the fault says so."""
        with self._lock:
            self.effects.append(Effect(target, what, writes))
            number = len(self.effects)
        if self._is_down(target, writes, number):
            raise error()
        yield
        if self.fault and self.fault.at == number and self.fault.kind == LOST:
            raise error()
        if self.fault and self.fault.at == number and self.fault.kind == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_down(self, target: str, writes: bool, number: int) -> bool:
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

    def _wrap_httpx(self) -> None:
        """Wrap the transport of `slipway.clients.http`."""
        real = httpx.HTTPTransport.handle_request

        def handle_request(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            with self._request(request.method, str(request.url), lambda: httpx.ConnectError("a fault")):
                return real(transport, request)

        httpx.HTTPTransport.handle_request = handle_request

    def _wrap_requests(self) -> None:
        """Wrap the transport of MLflow's client, if it is loaded; its effects begin with `client`."""
        if (requests := sys.modules.get("requests")) is None:
            return
        real = requests.adapters.HTTPAdapter.send

        def send(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            with self._request(
                f"client {request.method}", request.url, lambda: requests.exceptions.ConnectionError("a fault")
            ):
                return real(adapter, request, *args, **kwargs)

        requests.adapters.HTTPAdapter.send = send

    def _wrap_store(self, method: str, writes: bool) -> None:
        real = getattr(LocalStore, method)

        def wrapped(folder: LocalStore, name: str, *args: Any) -> Any:
            with self.effect(LOG, f"{method} {name}", writes, _gone):
                return real(folder, name, *args)

        setattr(LocalStore, method, wrapped)

    def _wrap_draft(self) -> None:
        real = LocalStore.draft

        @contextmanager
        def wrapped(folder: LocalStore, name: str) -> Iterator[Any]:
            with self.effect(LOG, f"draft {name}", True, _gone), real(folder, name) as draft:
                yield draft

        LocalStore.draft = wrapped


def _gone() -> OSError:
    return OSError(5, "Input/output error (a fault)")
