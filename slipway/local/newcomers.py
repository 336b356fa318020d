"""Newcomers: use cases that get their first champion while the local stack runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from slipway import config
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import CHAMPION
from slipway.errors import DamagedFile, NotFound, RegistryError, ServiceError
from slipway.local.services import LocalServices
from slipway.local.stack import Stack
from slipway.serving_state import additions, follower_status, observed
from slipway.system.processes import Process

LOOK_SECONDS = 3.0


def has_champion(registry: Registry, name: str) -> bool:
    """Tell whether a use case has a version to serve. Raises RegistryError where the registry does not respond."""
    return _champion(registry, name) is not None


def _champion(registry: Registry, name: str) -> str | None:
    try:
        return registry.model(name).aliases.get(CHAMPION)
    except NotFound:
        return None


class Newcomers:
    """Has the stack serve and schedule use cases that are promoted after its start.

    The service takes them up while it runs: nothing of what it serves is interrupted.

    Args:
        chosen: the use cases that a person named; none: all there are.
        served: those that the service was started with; none: it does not run yet.
        scheduled: those that the runner was started with.
    """

    def __init__(
        self,
        stack: Stack,
        local: LocalServices,
        chosen: Sequence[str],
        served: Sequence[str],
        scheduled: Sequence[str],
        say: Callable[[str], None],
    ) -> None:
        self._stack = stack
        self._local = local
        self._chosen = chosen
        self._started_with = list(served)
        self._added = list(additions.read(local.additions_file))  # of those that it was started with
        self._awaited = dict.fromkeys(self._added, "")  # by name what was said of it last
        self._failed: dict[str, str] = {}  # the champion by name that the service did not start with
        self._scheduled = {*scheduled}
        self._say = say
        self._registry = Registry(timeout=2.0)
        self._next = 0.0

    def look(self) -> None:
        """Look for newcomers, if the last look was some seconds ago, and take them up."""
        if time.monotonic() < self._next:
            return
        try:
            found = {name: version for name in self._unserved() if (version := _champion(self._registry, name))}
        except RegistryError:  # the next look may find it: the stack watches its process
            found = {}
        new = {name: version for name, version in found.items() if self._failed.get(name) != version}
        for name, version in new.items():
            self._serve(name, version)
        self._schedule([name for name in new if name not in self._scheduled])
        self._report()
        self._next = time.monotonic() + LOOK_SECONDS

    def _unserved(self) -> list[str]:
        return [name for name in self._chosen or config.names() if name not in (*self._started_with, *self._added)]

    def _schedule(self, names: Sequence[str]) -> None:
        """Start a runner of their own: those that run may have a training under way."""
        if names:
            self._scheduled.update(names)
            self._started(self._local.runner(names, alone=True))

    def _serve(self, name: str, version: str) -> None:
        if self._started_with:
            self._say(f"{name} was promoted: the service takes it up")
            self._added.append(name)
            additions.write(self._local.additions_file, self._added)
            self._awaited[name] = ""
            return
        self._say(f"{name} was promoted: the service starts")
        if self._started(self._local.service([name])):
            self._started_with = [name]
        else:
            self._failed[name] = version

    def _report(self) -> None:
        """Say of each newcomer once that it is served, or why it is not yet."""
        for name, said in list(self._awaited.items()):
            states = observed.read(self._local.serving, name)
            if states and all(state.serving for state in states):
                self._say(f"{name} is served")
                del self._awaited[name]
            elif (reason := self._refusal(name)) and reason != said:
                self._say(f"{name} is not served: {reason}\nwhat is served stays: promote another version of it")
                self._awaited[name] = reason

    def _refusal(self, name: str) -> str:
        with contextlib.suppress(DamagedFile):
            refused = follower_status.read_refusals(self._local.serving, name)
            return "; ".join(f"version {one.version} is refused: {one.reason}" for one in refused.values())
        return ""

    def _started(self, process: Process) -> bool:
        try:
            self._stack.start(process)
        except ServiceError as error:
            self._stack.stop(process.name)
            self._say(f"{error}\nit goes on without that: promote another version")
            return False
        return True
