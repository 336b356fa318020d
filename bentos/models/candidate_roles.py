"""Roles: the canary and the shadow of one use case in this worker. Whatever becomes of them, the champion serves on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from bentos.models.acceptance import check
from bentos.models.candidate_runner import CandidateRunner
from bentos.models.loaded_model import LoadedModel, load
from bentos.models.local_state import LocalState
from slipway.errors import SettingsError, SlipwayError
from slipway.serving_state.desired import Canary, DesiredState
from slipway.serving_state.observed import RoleState
from slipway.settings import Settings

RETRY_SECONDS = 60.0  # what failed for reasons of the machine (memory, disk) may work later; a refusal stays
DRAIN_SECONDS = 3.0
RESTS = {"canary": 0.0, "shadow": 39.0}  # a shadow with a quarter of a core makes the champion's p90 1.7 times as long
_log = logging.getLogger("slipway.serving")

Changed = Callable[[str, LoadedModel | None, LoadedModel | None], None]


class Candidates(NamedTuple):
    """What runs beside the champion; `weight` is the canary's, in percent."""

    canary: CandidateRunner | None
    weight: float
    shadow: CandidateRunner | None


class CandidateRoles:
    """`beside` is what a request looks at: None where there is neither canary nor shadow.

    `changed(role, before, after)` is called with each change.
    """

    def __init__(self, usecase: str, settings: Settings, disk: LocalState, changed: Changed) -> None:
        self.beside: Candidates | None = None
        self._weight = 0.0
        self._changed = changed
        self._canary, self._shadow = (
            CandidateRole(name, usecase, settings, disk, self._publish) for name in ("canary", "shadow")
        )

    @property
    def states(self) -> dict[str, RoleState]:
        return {role.name: role.state for role in (self._canary, self._shadow) if role.state is not None}

    def weigh(self, canary: Canary | None) -> None:
        """Another weight holds at once, another canary's from when it is there."""
        self._weight = canary.weight if canary else 0.0
        live = self._canary.live
        if canary is not None and live is not None and live.digest == canary.digest:
            self._publish("canary", live, live)

    def follow(self, target: DesiredState, champion: LoadedModel, tell: Callable[[], None]) -> None:
        """Do what the pointer says; `tell` is called when a role's state is another."""
        self._canary.follow(target.canary.digest if target.canary else None, champion, tell)
        self._shadow.follow(target.shadow, champion, tell)

    def stop(self) -> None:
        """Let both finish what they have, within a bound."""
        sides = [role.leave() for role in (self._canary, self._shadow)]
        until = time.monotonic() + DRAIN_SECONDS
        for side in sides:
            if side is not None and (left := side.drain(max(0.0, until - time.monotonic()))):
                _log.warning("version %s leaves %d requests undone beside the champion", side.live.version, left)

    def _publish(self, role: str, before: LoadedModel | None, after: LoadedModel | None) -> None:
        canary, shadow = self._canary.side, self._shadow.side
        self.beside = Candidates(canary, self._weight, shadow) if canary or shadow else None
        if before is not after:
            self._changed(role, before, after)


class CandidateRole:
    """One of the two: its thread, where it has one, and what became of the digest that it was told to take."""

    def __init__(self, name: str, usecase: str, settings: Settings, disk: LocalState, publish: Changed) -> None:
        self.name = name
        self.side: CandidateRunner | None = None
        self.state: RoleState | None = None
        self._usecase = usecase
        self._settings = settings
        self._disk = disk
        self._publish = publish
        self._asked: tuple[str, str] | None = None
        self._retry_at: float | None = None

    @property
    def live(self) -> LoadedModel | None:
        return self.side.live if self.side else None

    def follow(self, digest: str | None, champion: LoadedModel, tell: Callable[[], None]) -> None:
        """Take the digest, if it can stand beside this champion; another champion is a reason to look again."""
        asked = (digest, champion.digest) if digest else None
        due = self._retry_at is not None and time.monotonic() >= self._retry_at
        if asked == self._asked and not due:
            return
        self._asked, self._retry_at = asked, None
        kept = self.live if self.live and self.live.digest == digest else None
        if kept is None:
            self.leave()
        if digest is None:
            self.state = None
        else:
            self.state = self._become(digest, kept, champion, tell)
        tell()

    def leave(self) -> CandidateRunner | None:
        """End the role; its thread, which still does what was given to it."""
        side, self.side = self.side, None
        if side is not None:
            self._publish(self.name, side.live, None)
            side.close()
        return side

    def _become(
        self, digest: str, kept: LoadedModel | None, champion: LoadedModel, tell: Callable[[], None]
    ) -> RoleState:
        version = kept.version if kept else self._disk.version(digest)
        if kept is None:
            self.state = RoleState(digest, version, "loading")
            tell()
        try:
            with self._disk.one_at_a_time():
                loaded = kept or load(
                    self._disk.stored(digest), self._usecase, digest=digest, device=self._settings.device
                )
                check(loaded, champion, self._settings)
        except SettingsError as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return self._not_taken(digest, version, "failed", str(error))
        except SlipwayError as error:
            return self._not_taken(digest, version, "refused", str(error))
        except Exception as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return self._not_taken(digest, version, "failed", f"{type(error).__name__}: {error}")
        if kept is None:
            self.side = CandidateRunner(loaded, f"{self.name}-{self._usecase}", RESTS[self.name])
            self._publish(self.name, None, loaded)
            _log.info("%s: version %s is the %s now", self._usecase, loaded.version, self.name)
        return RoleState(digest, loaded.version)

    def _not_taken(self, digest: str, version: str | None, outcome: str, reason: str) -> RoleState:
        self.leave()
        named = f"version {version}" if version else f"the bundle {digest[:12]}"
        _log.error("%s: %s was %s as the %s: %s", self._usecase, named, outcome, self.name, reason)
        return RoleState(digest, version, outcome, reason)
