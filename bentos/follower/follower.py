"""The follower: brings what the registry's aliases name to the servers of this machine. It reads the registry only.

One request every two seconds. Where that shows a change, the versions are fetched and checked, and the use case's
pointer is renamed into place; a version that must not be served leaves the pointer as it was, and a reason.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

import msgspec

from bentos.follower import bundle_store
from bentos.follower.desired_versions import DesiredVersions, desired_versions
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.registry_names import CANARY, CHAMPION, SHADOW
from slipway.errors import BundleError, NotFound, RegistryError, SlipwayError
from slipway.serving_state import desired, follower_status, observed
from slipway.serving_state.desired import Canary, DesiredState
from slipway.serving_state.follower_status import FollowerStatus, HealthWarning, Refusal
from slipway.settings import Settings
from slipway.timestamps import now_iso

CLOCK_SECONDS = 30.0  # a clock that is off by more is said
STUCK_SECONDS = 300.0  # a look takes as long as the largest bundle takes to come, and no longer
_CLOCK_STEP = 2.0  # seconds; the registry tells the time in whole ones
_log = logging.getLogger("slipway.follower")


@dataclass
class Follower:
    """Follows one use case. `look` is one look at the registry and all that comes of it."""

    usecase: str
    registry: Registry
    settings: Settings
    _done: DesiredVersions | None = None
    _admitted: dict[str, str] = field(default_factory=dict)
    _refused: dict[str, tuple[ModelVersion, Refusal]] = field(default_factory=dict)
    _said: dict[str, HealthWarning] = field(default_factory=dict)
    _clock_offset: float | None = None
    _written: FollowerStatus | None = None
    _lock: IO[str] | None = None

    def look(self) -> None:
        """Never raises for what a later look may find in order: it says so, once, and the pointer stays."""
        try:
            if not self._alone():
                return
            self._record_findings()  # a first look may take long: let it be seen that there is a follower
            self._follow()
        except RegistryError as error:
            self._unreachable(str(error))
        except Exception as error:  # a full disk, an answer that no registry gives: the servers need us alive
            what = str(error) if isinstance(error, (SlipwayError, OSError)) else repr(error)
            self._say("trouble", f"the follower cannot follow: {what} (what is served stays; it tries again)")
        else:
            self._say("trouble", None)
            self._reachable()
        self._tell_clock()
        self._record_findings()

    def end(self) -> None:
        """Let another follower take over."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _follow(self) -> None:
        asked = self._ask()
        if asked == self._done and not self._refused:
            return
        if asked != self._done:
            self._admitted.clear()
        names = {CANARY: asked.canary, SHADOW: asked.shadow, self.settings.follow_alias: asked.champion}
        aliases = {version: alias for alias, version in names.items() if version}
        self._refused = {version: entry for version, entry in self._refused.items() if version in aliases}
        for version, alias in aliases.items():
            self._admit(version, alias)
        self._point(asked)
        self._record_refusals()
        self._done = asked

    def _ask(self) -> DesiredVersions:
        try:
            return desired_versions(self.registry.model(self.usecase), self.settings.follow_alias)
        except NotFound:
            return DesiredVersions(None, None, 0.0, None)

    def _admit(self, number: str, alias: str) -> None:
        """Let the version in or refuse it; one that was refused is tried again only when something about it changed."""
        if number in self._admitted:
            return
        try:
            version = self.registry.version(self.usecase, number)
        except NotFound:
            version = ModelVersion(self.usecase, number, "", "")
        if number in self._refused and _mark(version) == _mark(self._refused[number][0]):
            return
        try:
            self._admitted[number] = bundle_store.admit(self.registry, version, self.settings.store).digest
            self._refused.pop(number, None)
        except BundleError as error:
            self._refused[number] = (version, Refusal(number, alias, str(error), now_iso()))
            _log.error("%s: version %s (%s) is refused: %s", self.usecase, number, alias, error)

    def _point(self, asked: DesiredVersions) -> None:
        """The old champion stays where the new one is refused or its alias gone; other roles end with their alias."""
        before = desired.read(self.settings.serving, self.usecase) or DesiredState(0)
        canary, shadow = (self._admitted.get(number or "") for number in (asked.canary, asked.shadow))
        after = DesiredState(
            before.generation,
            self._admitted.get(asked.champion or "", before.champion),
            Canary(canary, asked.weight) if canary else None,
            shadow,
        )
        self._tell_missing(asked, before)
        if after != before:
            after = msgspec.structs.replace(after, generation=before.generation + 1)
            desired.write(self.settings.serving, self.usecase, after)
            self._tell(asked, after)
            self._prune(after)

    def _tell(self, asked: DesiredVersions, after: DesiredState) -> None:
        roles = {CHAMPION: asked.champion, CANARY: asked.canary, SHADOW: asked.shadow}
        named = [f"{role} version {number}" for role, number in roles.items() if number in self._admitted]
        said = ", ".join(named) or "no new champion, no canary and no shadow"
        _log.info("%s: pointer %d: %s.", self.usecase, after.generation, said)

    def _tell_missing(self, asked: DesiredVersions, before: DesiredState) -> None:
        alias = self.settings.follow_alias
        if asked.champion:
            self._say("alias", None)
        elif before.champion:
            self._say("alias", f"the alias {alias} is gone; the bundle {before.champion[:12]} that serves stays.")
        else:
            self._say(
                "alias", f"no version has the alias {alias} yet: `slipway promote {self.usecase} VERSION` sets it."
            )

    def _prune(self, now: DesiredState) -> None:
        """A bundle stays while a worker answers from it, or would return to it when it refuses the pointer's."""
        serving = {state.serving for state in observed.read(self.settings.serving, self.usecase)}
        used = {now.champion, now.shadow, now.canary.digest if now.canary else None, self._last_good()} | serving
        bundle_store.prune(self.settings.store, self.usecase, used)

    def _last_good(self) -> str | None:
        """The digest that a worker took last (bentos.models writes it): the next one that starts may need it."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.settings.serving / self.usecase / "served.json").read_bytes())
        return None

    def _record_refusals(self) -> None:
        refusals = {number: refusal for number, (_, refusal) in self._refused.items()}
        if refusals != follower_status.read_refusals(self.settings.serving, self.usecase):
            follower_status.write_refusals(self.settings.serving, self.usecase, refusals)

    def _alone(self) -> bool:
        """One follower a use case and machine: a second one waits until the first has ended."""
        if self._lock is not None:
            return True
        path = self.settings.serving / self.usecase / "follower.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            self._say("lock", "another follower of this machine does it; this one stands by.")
            return False
        self._lock = lock
        self._say("lock", None)
        _log.info("%s: following the alias %s at %s.", self.usecase, self.settings.follow_alias, self.registry.uri)
        return True

    def _unreachable(self, message: str) -> None:
        self._say("registry", f"{message} (what is served stays)", again=False)

    def _reachable(self) -> None:
        if "registry" in self._said:
            _log.info("%s: the registry answers again.", self.usecase)
        self._say("registry", None)

    def _tell_clock(self) -> None:
        found, before = self.registry.clock_offset, self._clock_offset
        if found is not None and (before is None or abs(found - before) >= _CLOCK_STEP):
            self._clock_offset = found
        offset = self._clock_offset or 0.0
        if abs(offset) <= CLOCK_SECONDS:
            self._say("clock", None)
            return
        self._say(
            "clock",
            f"the clock here is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the one of the registry "
            f"{self.registry.uri}: set whichever is wrong (NTP). By it go the ids of rows, the times in the log, and "
            "when keys and tokens expire.",
            again=False,
        )

    def _say(self, topic: str, message: str | None, *, again: bool = True) -> None:
        """Say what is new about a topic, and another message `again`; None: there is nothing to say any more."""
        before = self._said.get(topic)
        if message is None:
            self._said.pop(topic, None)
        elif before is None or before.message != message:
            self._said[topic] = HealthWarning(message, before.since if before else now_iso())
            if again or before is None:
                _log.warning("%s: %s", self.usecase, message)

    def _record_findings(self) -> None:
        """Written when they are others; at each look the file's time is set, so that it shows that we look."""
        findings = FollowerStatus(dict(self._said), self._clock_offset)
        path = follower_status.status_path(self.settings.serving, self.usecase)
        try:
            if findings != self._written or not path.exists():
                follower_status.write_status(self.settings.serving, self.usecase, findings)
                self._written = findings
            os.utime(path)
        except OSError as error:
            self._say("volume", f"what the follower finds cannot be written: {error}", again=False)
        else:
            self._say("volume", None)


def _mark(version: ModelVersion) -> tuple[str | None, ...]:
    """What a refusal depends on, and no other tag: the reconciler writes the refusal itself into one."""
    tags = version.tags
    return (version.source, version.digest, tags.get(bundle_store.OVERRIDE), tags.get(bundle_store.REFUSED))


def run(usecases: Sequence[str], settings: Settings, stop: threading.Event) -> None:
    """Follow every use case until `stop` is set. The registry need not run yet."""
    registry = Registry(settings.registry_uri)
    followers = [Follower(usecase, registry, settings) for usecase in usecases]
    while not stop.is_set():
        for follower in followers:
            follower.look()
        stop.wait(settings.follow_seconds)
    for follower in followers:
        follower.end()


def stuck(usecases: Sequence[str], settings: Settings) -> list[str]:
    """What is wrong with the follower of this machine, as a sentence for each use case; for a probe without a port."""
    found = []
    for usecase in usecases:
        path = follower_status.status_path(settings.serving, usecase)
        try:
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            found.append(f"{usecase}: no follower has looked yet: there is no {path}.")
            continue
        if age > STUCK_SECONDS:
            found.append(f"{usecase}: the follower looked {age:.0f} s ago: it hangs, or ended. Start it again.")
    return found


def log_to_stderr() -> None:
    """For a process that is a follower and nothing else."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s follower: %(message)s", force=True)
