"""What changes in the registry and in the service, seen from outside twice a second, each change with its moment."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import CANARY, CHALLENGER, CHAMPION
from slipway.errors import RegistryError, ServiceError
from slipway.settings import settings

LOOK_SECONDS = 0.5
STAGE, REFUSED, SERVED = "stage", "refused", "served"
_ALIASES = (CHAMPION, CHALLENGER, CANARY)


@dataclass(frozen=True)
class Moment:
    """From `at` on `what` (an alias, `stage`, `refused`, `served`) was `value`; "" stands for nothing."""

    at: datetime
    what: str
    value: str


class Observer:
    """Looks from a thread until the end of the block; `moments` are the changes so far, the first look's included."""

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
        return self._now.get(what, "")

    def wait(
        self, what: str, wanted: Callable[[str], bool], seconds: float, since: datetime, failed: Callable[[], str]
    ) -> Moment:
        """The first moment from `since` on at which `what` was as wanted.

        Raises:
            ServiceError: it was not within so many seconds from now, or `failed` says why it cannot be any more.
        """
        deadline = time.monotonic() + seconds
        while True:
            for moment in list(self.moments):
                if moment.what == what and moment.at >= since and wanted(moment.value):
                    return moment
            if why := failed():
                raise ServiceError(why)
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{what} is {self.now(what) or 'nothing'!r} after {seconds:.0f} s, which is too long."
                )
            time.sleep(LOOK_SECONDS / 2)

    def values(self, what: str, since: datetime) -> list[str]:
        """Each value that it had since then, in order."""
        return [moment.value for moment in self.moments if moment.what == what and moment.at >= since]

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for look in (self._of_registry, self._of_service):
                try:
                    self._note(dict(look()))
                except (RegistryError, OSError, ValueError, KeyError):
                    continue  # it is busy; the next look sees what this one missed

    def _note(self, seen: dict[str, str]) -> None:
        for what, value in seen.items():
            if self._now.get(what) != value:
                self._now[what] = value
                self.moments.append(Moment(datetime.now(UTC), what, value))

    def _of_registry(self) -> Iterator[tuple[str, str]]:
        model = self._registry.model(self._name)
        for alias in _ALIASES:
            yield alias, model.aliases.get(alias, "")
        yield STAGE, _stage(model.tags.get("slipway.canary", ""))
        tags = {version.version: version.tags for version in self._registry.versions(self._name)}
        yield REFUSED, ", ".join(sorted(version for version, found in tags.items() if "slipway.refused" in found))

    def _of_service(self) -> Iterator[tuple[str, str]]:
        url = f"{self._service}/v1/models/{self._name}"
        asked = urllib.request.Request(url, headers=settings().authorization)
        with urllib.request.urlopen(asked, timeout=5) as answer:
            said: dict[str, Any] = json.load(answer)
        yield SERVED, ", ".join(sorted({str(worker["version"]) for worker in said["workers"]}))


def _stage(tag: str) -> str:
    """The tag `slipway.canary` as `VERSION at WEIGHT %`."""
    try:
        said = json.loads(tag)
        return f"{said['version']} at {said['weight']:g} %"
    except (ValueError, KeyError, TypeError):
        return ""
