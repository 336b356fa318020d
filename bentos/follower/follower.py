"""The follower: brings the versions that the registry's aliases name to the servers of this machine.

It only reads the registry, with one request every two seconds. Where that shows a change, the versions are fetched and
checked, and the use case's pointer is replaced. A version that must not be served is refused with a reason, and the
champion in the pointer stays. A pointer or a bundle that was damaged on this machine is written anew.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

import msgspec

from bentos.follower import bundle_store
from bentos.follower.desired_versions import DesiredVersions, desired_versions
from bentos.follower.status import StatusReporter
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.registry_names import CANARY, CHAMPION, OVERRIDE, REFUSED, SHADOW
from slipway.errors import BundleError, DamagedFile, NotFound, RegistryError, SlipwayError
from slipway.serving_state import additions, desired, follower_status, last_good, observed
from slipway.serving_state.desired import Canary, DesiredState
from slipway.serving_state.follower_status import Refusal
from slipway.settings import Settings
from slipway.system import files, locks
from slipway.texts import one_line
from slipway.timestamps import now_iso

MAX_REASON = 1000  # characters of why a version is refused
VERIFY_SECONDS = 30.0  # between two checks of a bundle that a worker cannot load
_log = logging.getLogger("slipway.follower")


@dataclass
class Follower:
    """Follows one use case: each `poll` reads the registry once and acts on what changed."""

    usecase: str
    registry: Registry
    settings: Settings
    _applied: DesiredVersions | None = None
    _admitted: dict[str, str] = field(default_factory=dict)
    _refused: dict[str, tuple[ModelVersion, Refusal]] = field(default_factory=dict)
    _verified_at: dict[str, float] = field(default_factory=dict)
    _status: StatusReporter = field(init=False)
    _lock: IO[str] | None = None

    def __post_init__(self) -> None:
        self._status = StatusReporter(self.settings.serving, self.usecase)

    def poll(self) -> None:
        """Bring this machine to the registry's state. Failures that may pass are not raised: they are logged once."""
        try:
            if not self._acquire_lock():
                return
            self._status.write()  # a first poll may take long: show that there is a follower
            self._apply_desired_versions()
            self._write_refusals()
        except RegistryError as error:
            self._status.clear("trouble")
            self._status.warn("registry", f"{error} (what is served stays)", log_changes=False)
        except Exception as error:  # a full disk, a response that no registry gives: the follower must stay alive
            reason = str(error) if isinstance(error, (SlipwayError, OSError)) else repr(error)
            self._status.clear("registry")
            self._status.warn("trouble", f"the follower cannot follow: {reason} (what is served stays; it tries again)")
        else:
            self._status.clear("trouble")
            self._report_registry_answers()
        self._status.write()

    def close(self) -> None:
        """Release the lock, so that another follower of this machine can take over."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _apply_desired_versions(self) -> None:
        versions = self._desired_versions()
        names = {CANARY: versions.canary, SHADOW: versions.shadow, self.settings.follow_alias: versions.champion}
        aliases = {version: alias for alias, version in names.items() if version}
        self._forget_failing()
        if versions == self._applied and set(aliases) <= set(self._admitted) and not self._pointer_is_damaged():
            return
        if versions != self._applied:
            self._admitted.clear()
        self._refused = {version: entry for version, entry in self._refused.items() if version in aliases}
        for version, alias in aliases.items():
            self._admit(version, alias)
        self._update_pointer(versions)
        self._applied = versions

    def _desired_versions(self) -> DesiredVersions:
        try:
            return desired_versions(self.registry.model(self.usecase), self.settings.follow_alias)
        except NotFound:
            return DesiredVersions(None, None, 0.0, None)

    def _forget_failing(self) -> None:
        """Have bundles that a worker cannot load verified again, now and then: a byte may be damaged here."""
        states = observed.read(self.settings.serving, self.usecase)
        failing = {role.digest for state in states for role in state.roles.values() if role.outcome == "failed"}
        now = time.monotonic()
        self._verified_at = {digest: at for digest, at in self._verified_at.items() if now - at < VERIFY_SECONDS}
        due = failing - set(self._verified_at)
        self._verified_at |= dict.fromkeys(due, now)
        self._admitted = {number: digest for number, digest in self._admitted.items() if digest not in due}

    def _pointer_is_damaged(self) -> bool:
        """Whether the pointer that was written is not there, or is none."""
        try:
            return desired.read(self.settings.serving, self.usecase) is None and bool(self._admitted)
        except DamagedFile:
            return True

    def _pointer(self) -> DesiredState | None:
        """Read the pointer: generation 0 where there has been none, None where it is lost."""
        try:
            found = desired.read(self.settings.serving, self.usecase)
        except DamagedFile:
            return None
        return found or (None if self._last_good() else DesiredState(0))

    def _replacement(self) -> DesiredState:
        """Return what a lost pointer must have said: what served last. No worker has followed a newer generation."""
        states = observed.read(self.settings.serving, self.usecase)
        return DesiredState(max((state.generation for state in states), default=0), self._last_good())

    def _admit(self, number: str, alias: str) -> None:
        """Admit the version to the store or refuse it; a refused one is tried again only when its facts changed."""
        if number in self._admitted:
            return
        try:
            version = self.registry.version(self.usecase, number)
        except NotFound:
            version = ModelVersion(self.usecase, number, "", "")
        if number in self._refused and _admission_facts(version) == _admission_facts(self._refused[number][0]):
            return
        try:
            self._admitted[number] = bundle_store.admit(self.registry, version, self.settings.store).digest
            self._refused.pop(number, None)
        except BundleError as error:
            reason = one_line(str(error), MAX_REASON)
            self._refused[number] = (version, Refusal(number, alias, reason, now_iso(), version.digest or ""))
            _log.error(
                "%s: version %s (%s) is refused: %s", self.usecase, number, alias, self._refused[number][1].reason
            )

    def _update_pointer(self, versions: DesiredVersions) -> None:
        """Write the new desired state; the old champion stays where the new one is refused or its alias is gone."""
        found = self._pointer()
        before = found or self._replacement()
        canary, shadow = (self._admitted.get(number or "") for number in (versions.canary, versions.shadow))
        after = DesiredState(
            before.generation,
            self._admitted.get(versions.champion or "", before.champion),
            Canary(canary, versions.weight, versions.salt) if canary else None,
            shadow,
        )
        self._report_missing_champion(versions, before)
        if after != found:
            after = msgspec.structs.replace(after, generation=before.generation + 1)
            desired.write(self.settings.serving, self.usecase, after)
            if found is None:
                _log.error("%s: the pointer was lost or damaged; it is written anew.", self.usecase)
            self._log_pointer(versions, after)
            self._prune_store(after)

    def _log_pointer(self, versions: DesiredVersions, after: DesiredState) -> None:
        roles = {CHAMPION: versions.champion, CANARY: versions.canary, SHADOW: versions.shadow}
        admitted = [f"{role} version {number}" for role, number in roles.items() if number in self._admitted]
        text = ", ".join(admitted) or "no new champion, no canary and no shadow"
        _log.info("%s: pointer %d: %s.", self.usecase, after.generation, text)

    def _report_missing_champion(self, versions: DesiredVersions, before: DesiredState) -> None:
        alias = self.settings.follow_alias
        if versions.champion:
            self._status.clear("alias")
        elif before.champion:
            self._status.warn("alias", f"the alias {alias} is gone; the bundle {before.champion[:12]} keeps serving.")
        else:
            self._status.warn(
                "alias", f"no version has the alias {alias} yet: `slipway promote {self.usecase} VERSION` sets it."
            )

    def _prune_store(self, now: DesiredState) -> None:
        """Remove old bundles, but none that a worker serves, or would return to after refusing the pointer's."""
        serving = {state.serving for state in observed.read(self.settings.serving, self.usecase)}
        used = {now.champion, now.shadow, now.canary.digest if now.canary else None, self._last_good()} | serving
        bundle_store.prune(self.settings.store, self.usecase, used)

    def _last_good(self) -> str | None:
        return last_good.read(self.settings.serving, self.usecase)

    def _write_refusals(self) -> None:
        refusals = {number: refusal for number, (_, refusal) in self._refused.items()}
        with contextlib.suppress(DamagedFile):
            if refusals == follower_status.read_refusals(self.settings.serving, self.usecase):
                return
        follower_status.write_refusals(self.settings.serving, self.usecase, refusals)

    def _acquire_lock(self) -> bool:
        """Hold the lock of the machine's only follower of the use case; a second follower waits for it."""
        if self._lock is not None:
            return True
        try:
            self._lock = locks.acquire(self.settings.serving / self.usecase / "follower.lock")
        except BlockingIOError:
            self._status.warn("lock", "another follower of this machine is at work; this one stands by.")
            return False
        self._status.clear("lock")
        for name in ("pointer.json", "refused.json", "follower.json"):  # this follower alone writes them from now on
            files.remove_drafts(self.settings.serving / self.usecase, name)
        _log.info("%s: following the alias %s at %s.", self.usecase, self.settings.follow_alias, self.registry.uri)
        return True

    def _report_registry_answers(self) -> None:
        if "registry" in self._status:
            _log.info("%s: the registry answers again.", self.usecase)
        self._status.clear("registry")


def _admission_facts(version: ModelVersion) -> tuple[str | None, ...]:
    """What a refusal depends on. No other tag: the reconciler writes the refusal itself into one."""
    tags = version.tags
    return (version.source, version.digest, tags.get(OVERRIDE), tags.get(REFUSED))


def run(usecases: Sequence[str], settings: Settings, stop: threading.Event) -> None:
    """Follow every use case until `stop` is set, and those that are added. The registry may start later."""
    registry = Registry(settings.registry_uri)
    followers: dict[str, Follower] = {}
    while not stop.is_set():
        for usecase in (*usecases, *additions.read(settings.serve_file)):
            if usecase not in followers:
                followers[usecase] = Follower(usecase, registry, settings)
        for follower in followers.values():
            follower.poll()
        stop.wait(settings.follow_seconds)
    for follower in followers.values():
        follower.close()
