"""Versions of a use case that this worker serves, and those that it has ceased to: their series end after a while."""

from __future__ import annotations

import time
from collections.abc import Callable

PERIOD_SECONDS = 600.0


class ServedVersions:
    """The version in each role. One that has left all roles is forgotten at the end of the next period of ten minutes.

    Workers lose a version seconds apart, and forget it at the same time by the clock of their machine: a sum of some of
    them would be a counter that has fallen. Ten minutes are enough for Prometheus to have scraped its last counts.
    """

    def __init__(self, forget: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self._forget = forget
        self._clock = clock
        self._roles: dict[str, str] = {}
        self._left: dict[str, int] = {}

    def change(self, role: str, version: str | None) -> None:
        """Note the version that a role has from now on; None where it has none."""
        before = self._roles.get(role)
        if version is None:
            self._roles.pop(role, None)
        else:
            self._roles[role] = version
        if before is not None:
            self._left[before] = self._period()

    def tidy(self) -> None:
        """Forget the versions whose time has come."""
        period = self._period()
        for version, left in list(self._left.items()):
            if version in list(self._roles.values()):  # which another thread may change
                del self._left[version]
            elif period >= left + 2:
                del self._left[version]
                self._forget(version)

    def _period(self) -> int:
        return int(self._clock() // PERIOD_SECONDS)
