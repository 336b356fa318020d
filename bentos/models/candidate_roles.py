"""Candidate roles: the canary and the shadow of one use case in this worker. Their faults never affect the champion."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from bentos.models.acceptance import check_acceptance
from bentos.models.activation import Retry, attempt_activation, bundle_name
from bentos.models.candidate_runner import CandidateRunner
from bentos.models.loaded_model import LoadedModel, load
from bentos.models.local_state import LocalState
from slipway.serving_state.desired import Canary, DesiredState
from slipway.serving_state.observed import RoleState
from slipway.settings import Settings

DRAIN_SECONDS = 3.0
THROTTLES = {"canary": 0.0, "shadow": 39.0}  # a shadow with a quarter of a core raises the champion's p90 1.7 times
_log = logging.getLogger("slipway.serving")

OnChange = Callable[[str, LoadedModel | None, LoadedModel | None], None]


class Candidates(NamedTuple):
    """The models that run besides the champion; `weight` is the canary's share of requests, in percent, and `salt`
    decides with a request's unit whether it is one of them."""

    canary: CandidateRunner | None
    weight: float
    shadow: CandidateRunner | None
    salt: bytes = b""


class CandidateRoles:
    """The two roles of a use case. `candidates` is None where there is neither canary nor shadow: requests read it.

    `on_change(role, before, after)` is called with each change of a role's model.
    """

    def __init__(self, usecase: str, settings: Settings, local: LocalState, on_change: OnChange) -> None:
        self.candidates: Candidates | None = None
        self._weight, self._salt = 0.0, b""
        self._on_change = on_change
        self._canary, self._shadow = (
            CandidateRole(name, usecase, settings, local, self._publish) for name in ("canary", "shadow")
        )

    @property
    def states(self) -> dict[str, RoleState]:
        return {role.name: role.state for role in (self._canary, self._shadow) if role.state is not None}

    def set_weight(self, canary: Canary | None) -> None:
        """Apply the weight at once where this canary runs already; otherwise it applies once the canary is loaded."""
        self._weight, self._salt = (canary.weight, canary.salt.encode()) if canary else (0.0, b"")
        live = self._canary.live
        if canary is not None and live is not None and live.digest == canary.digest:
            self._publish("canary", live, live)

    def follow(self, target: DesiredState, champion: LoadedModel, report: Callable[[], None]) -> None:
        """Bring both roles to the desired state; `report` is called when a role's state changes."""
        canary = target.canary.digest if target.canary else None
        for role, digest in ((self._canary, canary), (self._shadow, target.shadow)):
            role.follow(digest, target.generation, champion, report)

    def stop(self) -> None:
        """Let both roles finish their queued jobs, within DRAIN_SECONDS."""
        runners = [role.clear() for role in (self._canary, self._shadow)]
        until = time.monotonic() + DRAIN_SECONDS
        for runner in runners:
            if runner is not None and (dropped := runner.drain(max(0.0, until - time.monotonic()))):
                _log.warning("version %s (a canary or shadow) drops %d requests", runner.live.version, dropped)

    def _publish(self, role: str, before: LoadedModel | None, after: LoadedModel | None) -> None:
        canary, shadow = self._canary.runner, self._shadow.runner
        self.candidates = Candidates(canary, self._weight, shadow, self._salt) if canary or shadow else None
        if before is not after:
            self._on_change(role, before, after)


class CandidateRole:
    """One role: its runner, where it has one, and the state of the digest that it loaded last."""

    def __init__(self, name: str, usecase: str, settings: Settings, local: LocalState, publish: OnChange) -> None:
        self.name = name
        self.runner: CandidateRunner | None = None
        self.state: RoleState | None = None
        self._usecase = usecase
        self._settings = settings
        self._local = local
        self._publish = publish
        self._target: tuple[str, str] | None = None  # digests of the candidate and of the champion
        self._retry = Retry(local)

    @property
    def live(self) -> LoadedModel | None:
        return self.runner.live if self.runner else None

    def follow(self, digest: str | None, generation: int, champion: LoadedModel, report: Callable[[], None]) -> None:
        """Load the digest if it may run besides this champion; another champion makes the checks run again."""
        target = (digest, champion.digest) if digest else None
        if target == self._target and not self._retry.is_due():
            return
        self._target = target
        self._retry.cancel()
        running = self.live if self.live and self.live.digest == digest else None
        if running is None:
            self.clear()
        if digest is None:
            self.state = None
        else:
            self.state = self._follow_target(digest, generation, running, champion, report)
        report()

    def clear(self) -> CandidateRunner | None:
        """End the role, and return its runner, which still finishes its queued jobs."""
        runner, self.runner = self.runner, None
        if runner is not None:
            self._publish(self.name, runner.live, None)
            runner.close()
        return runner

    def _follow_target(
        self,
        digest: str,
        generation: int,
        running: LoadedModel | None,
        champion: LoadedModel,
        report: Callable[[], None],
    ) -> RoleState:
        version = running.version if running else self._local.version(digest)
        if running is None:
            self.state = RoleState(digest, version, "loading")
            report()
        stamp = self._local.bundle_stamp(digest)
        state = attempt_activation(
            digest, version, lambda: self._load_and_activate(digest, generation, running, champion)
        )
        if state.outcome == "serving":
            return RoleState(digest, self.live.version if self.live else version)
        self._retry.after(state, stamp)
        self.clear()
        named = bundle_name(state)
        _log.error("%s: %s was %s as the %s: %s", self._usecase, named, state.outcome, self.name, state.reason)
        return state

    def _load_and_activate(
        self, digest: str, generation: int, running: LoadedModel | None, champion: LoadedModel
    ) -> None:
        with self._local.loading(digest, generation):
            loaded = running or load(
                self._local.stored(digest),
                self._usecase,
                digest=digest,
                device=self._settings.device,
                sandbox=lambda: self._local.load_in_sandbox(digest),
            )
            check_acceptance(loaded, champion, self._settings)
        if running is None:
            self.runner = CandidateRunner(loaded, f"{self.name}-{self._usecase}", THROTTLES[self.name])
            self._publish(self.name, None, loaded)
            _log.info("%s: version %s is the %s now", self._usecase, loaded.version, self.name)
