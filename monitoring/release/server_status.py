"""Status of the servers: `GET /v1/models/USECASE` at every address of `SLIPWAY_SERVERS`.

A name with several addresses, as that of a headless service, stands for several servers, which come and go: it is
resolved with every poll. A server that does not respond has a status as well, with an `error`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from slipway.clients.mlflow.registry import ModelVersion
from slipway.clients.service import ServiceClient
from slipway.errors import ServiceError
from slipway.serving_state.follower_status import Refusal
from slipway.serving_state.observed import RoleState, WorkerState
from slipway.texts import one_line

TIMEOUT_SECONDS = 3.0
MAX_REASON = 1000  # characters of why a version is not served, which becomes a tag
_AT_ONCE = 16
_POLL_SECONDS = 0.5

PollServers = Callable[[Iterable[str], str], "list[ServerStatus]"]
"""Asks the servers of these URLs for the status of a use case."""


Short = Annotated[str, msgspec.Meta(max_length=200)] | None


class ServedGate(msgspec.Struct, frozen=True):
    """Gate result of the served version, and who overrode it (`WHO: WHY`)."""

    passed: bool = True
    override: str | None = None


class Served(msgspec.Struct, frozen=True):
    """Fields of a server's response that monitoring reads; others are ignored."""

    version: Short = None
    digest: Short = None
    source: Short = None
    device: Short = None
    synthetic: bool = False
    gate: ServedGate = ServedGate()
    workers: tuple[WorkerState, ...] = ()
    refused: dict[str, Refusal] = {}


class _Answer(Served, frozen=True, kw_only=True):
    """A server's response, which says of which use case it is."""

    name: str


@dataclass(frozen=True)
class ServerStatus:
    """Status of one server; `served` is None where `error` has the reason."""

    address: str
    served: Served | None = None
    error: str = ""

    @property
    def overridden(self) -> str | None:
        """Who overrode the gates of the served version, and why; None where they passed."""
        return self.served.gate.override if self.served and not self.served.gate.passed else None

    @property
    def workers(self) -> tuple[WorkerState, ...]:
        return self.served.workers if self.served else ()

    def refusals(self, role: str, alias: str, version: ModelVersion) -> list[str]:
        """Why the server's follower or a worker refused the version of the alias; empty where none did."""
        if self.served is None:
            return []
        refused = self.served.refused.get(version.version)
        is_same = refused and refused.alias == alias and refused.digest in ("", version.digest or "")
        by_follower = [one_line(refused.reason, MAX_REASON)] if refused and is_same else []
        return list(dict.fromkeys(by_follower + self._reasons(role, version, "refused")))

    def failures(self, role: str, version: ModelVersion) -> list[str]:
        """Why a worker could not load the version for now, and will try again."""
        return self._reasons(role, version, "failed")

    def loading(self, role: str, version: ModelVersion) -> bool:
        """Whether a worker has not decided yet: it loads the version."""
        return bool(self._reasons(role, version, "loading"))

    def _reasons(self, role: str, version: ModelVersion, outcome: str) -> list[str]:
        states = [worker.roles.get(role) for worker in self.workers]
        found = [s for s in states if s and s.outcome == outcome and _is(s, version)]
        return list(dict.fromkeys(one_line(s.reason or outcome, MAX_REASON) for s in found))

    def serving(self, role: str, version: ModelVersion) -> int:
        """Number of workers that serve this version in this role."""
        if role == "champion":
            return sum(worker.serving == version.digest for worker in self.workers) if version.digest else 0
        states = [worker.roles.get(role) for worker in self.workers]
        return sum(s is not None and s.outcome == "serving" and _is(s, version) for s in states)


def _is(state: RoleState, version: ModelVersion) -> bool:
    """Whether a state is of the version: of its bundle, for a deleted version's number comes again."""
    return state.digest == version.digest


def name_served(worker: WorkerState, aliased: ModelVersion | None) -> str | None:
    """Name the version that a worker serves: by its bundle where that is the aliased one's, else by its number.

    The number that a server knows is that of the time when it fetched the bundle: another one may have it by now.
    """
    if aliased and worker.serving and worker.serving == aliased.digest:
        return aliased.version
    if aliased and worker.serving and worker.version == aliased.version:
        return f"{worker.version} (another bundle: {worker.serving[:12]})"
    return worker.version


def server_status(url: str, usecase: str, address: str | None = None) -> ServerStatus:
    """Poll the server of a URL, or the one at this `address` of its host."""
    shown = _with_host(url, address) if address else url
    client = ServiceClient(url, TIMEOUT_SECONDS, address)
    try:
        answer = client.get(f"/v1/models/{usecase}")
        if not answer.ok:
            return ServerStatus(shown, error=f"{shown} answered {answer.problem}")
        served = answer.read(_Answer)
        if served.name != usecase:
            return ServerStatus(shown, error=f"{shown} was asked for {usecase}, and answered {one_line(served.name)}")
        return ServerStatus(shown, served)
    except ServiceError as error:
        return ServerStatus(shown, error=str(error).replace(url, shown))
    finally:
        client.close()


def all_server_statuses(urls: Iterable[str], usecase: str) -> list[ServerStatus]:
    """Poll all servers at once: those that do not respond cost the time-out only once."""
    servers = [(url, address) for url in urls for address in addresses(url)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda server: server_status(server[0], usecase, server[1]), servers))


def wait_until(
    poll: Callable[[], Sequence[ServerStatus]],
    seconds: float,
    is_done: Callable[[Sequence[ServerStatus]], bool],
    describe: Callable[[Sequence[ServerStatus]], str],
    has_failed: Callable[[Sequence[ServerStatus]], bool] = lambda statuses: False,
) -> int:
    """Poll the servers until they are done, and return the number of their workers.

    Raises:
        ServiceError: the time is over, or they have failed; the message describes the last statuses.
    """
    deadline = time.monotonic() + seconds
    while True:
        statuses = poll()
        if is_done(statuses):
            return sum(len(status.workers) for status in statuses)
        if time.monotonic() >= deadline or has_failed(statuses):
            raise ServiceError(describe(statuses))
        time.sleep(_POLL_SECONDS)


def addresses(url: str) -> list[str | None]:
    """IP addresses of a URL's host where it has several; else None, for the URL as it is."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return [None]  # the connection will fail with the reason
    several = sorted({entry[4][0] for entry in found if entry[0] == socket.AF_INET} or {e[4][0] for e in found})
    return list(several) if len(several) > 1 else [None]


def _with_host(url: str, address: str) -> str:
    parts = urlsplit(url)
    host = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host).geturl()
