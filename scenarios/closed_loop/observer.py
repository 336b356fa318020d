"""Observer that polls registry and service twice a second and records each change with its time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from scenarios.harness.release_checks import model_metadata
from slipway.clients.mlflow.registry import Registry
from slipway.contracts import registry_names
from slipway.contracts.registry_names import CANARY, CHALLENGER, CHAMPION
from slipway.errors import RegistryError, ServiceError

POLL_SECONDS = 0.5
STAGE, REFUSED, SERVED = "stage", "refused", "served"
_ALIASES = (CHAMPION, CHALLENGER, CANARY)


@dataclass(frozen=True)
class Moment:
    """Change of `what` (an alias, `stage`, `refused`, `served`) to `value` at the time `at`; "" stands for none."""

    at: datetime
    what: str
    value: str


class Observer:
    """Thread that polls until the end of the `with` block; `moments` are the changes so far, first values included."""

    def __init__(self, name: str, service: str) -> None:
        self.moments: list[Moment] = []
        self._name = name
        self._service = service
        self._registry = Registry()
        self._now: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def now(self, what: str) -> str:
        """Return the value of the last poll."""
        return self._now.get(what, "")

    def wait(
        self, what: str, expected: Callable[[str], bool], seconds: float, since: datetime, failure: Callable[[], str]
    ) -> Moment:
        """Wait for the first change from `since` on that makes `what` as expected.

        Raises:
            ServiceError: there was none within `seconds` from now, or `failure` says why there will be none.
        """
        deadline = time.monotonic() + seconds
        while True:
            for moment in list(self.moments):
                if moment.what == what and moment.at >= since and expected(moment.value):
                    return moment
            if why := failure():
                raise ServiceError(why)
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{what} is {self.now(what) or 'nothing'!r} after {seconds:.0f} s, which is too long."
                )
            time.sleep(POLL_SECONDS / 2)

    def values(self, what: str, since: datetime) -> list[str]:
        """Return each value since then, in order."""
        return [moment.value for moment in self.moments if moment.what == what and moment.at >= since]

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            for poll in (self._registry_values, self._service_values):
                try:
                    self._record(dict(poll()))
                except (RegistryError, ServiceError, ValueError, KeyError, TypeError):
                    continue  # the server is busy; the next poll sees what this one missed

    def _record(self, values: dict[str, str]) -> None:
        for what, value in values.items():
            if self._now.get(what) != value:
                self._now[what] = value
                self.moments.append(Moment(datetime.now(UTC), what, value))

    def _registry_values(self) -> Iterator[tuple[str, str]]:
        model = self._registry.model(self._name)
        for alias in _ALIASES:
            yield alias, model.aliases.get(alias, "")
        yield STAGE, _stage(model.tags.get(registry_names.ROLLOUT, ""))
        tags = {version.version: version.tags for version in self._registry.versions(self._name)}
        yield REFUSED, ", ".join(sorted(version for version, found in tags.items() if registry_names.REFUSED in found))

    def _service_values(self) -> Iterator[tuple[str, str]]:
        metadata = model_metadata(self._service, self._name)
        yield SERVED, ", ".join(sorted({str(worker["version"]) for worker in metadata["workers"]}))


def _stage(tag: str) -> str:
    """Format the tag `slipway.canary` as `VERSION at WEIGHT %`."""
    try:
        canary = json.loads(tag)
        return f"{canary['version']} at {canary['weight']:g} %"
    except (ValueError, KeyError, TypeError):
        return ""
