"""Newcomers: use cases that get their first champion while the local stack runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from slipway import config
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import CHAMPION
from slipway.errors import NotFound, RegistryError, ServiceError
from slipway.local.services import LocalServices
from slipway.local.stack import Stack
from slipway.system.processes import Process

LOOK_SECONDS = 3.0


def has_champion(registry: Registry, name: str) -> bool:
    """Tell whether a use case has a version to serve. Raises RegistryError where the registry does not answer."""
    try:
        return CHAMPION in registry.model(name).aliases
    except NotFound:
        return False


class Newcomers:
    """Has the stack serve and schedule use cases that are promoted after its start.

    Args:
        chosen: the use cases that a person named; none: all there are.
        served: those that the service was started with.
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
        self._served = list(served)
        self._known = {*served}
        self._scheduled = {*scheduled}
        self._say = say
        self._registry = Registry(timeout=2.0)
        self._next = 0.0

    def look(self) -> None:
        """Look for newcomers, if the last look was some seconds ago, and take them up."""
        if time.monotonic() < self._next:
            return
        try:
            found = [name for name in self._chosen or config.names() if self._is_new(name)]
        except RegistryError:  # the next look may find it: the stack watches its process
            found = []
        for name in found:
            self._known.add(name)
            self._serve(name)
            self._schedule(name)
        self._next = time.monotonic() + LOOK_SECONDS

    def _is_new(self, name: str) -> bool:
        return name not in self._known and has_champion(self._registry, name)

    def _schedule(self, name: str) -> None:
        """Start a runner of its own: those that run may have a training under way."""
        if name not in self._scheduled:
            self._scheduled.add(name)
            self._started(self._local.runner([name], alone=True))

    def _serve(self, name: str) -> None:
        """Start the service anew with the newcomer, or as it was if that fails."""
        self._say(f"{name} was promoted: the service starts again with it, which takes some seconds")
        self._stack.stop("service")
        if self._started(self._local.service([*self._served, name])):
            self._served.append(name)
        elif self._served:
            self._stack.start(self._local.service(self._served))

    def _started(self, process: Process) -> bool:
        try:
            self._stack.start(process)
        except ServiceError as error:
            self._stack.stop(process.name)
            self._say(f"{error}\nit goes on without that: promote another version, and start `slipway up` again")
            return False
        return True
