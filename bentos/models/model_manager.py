"""Swap: one use case's model in this worker follows the pointer, and the old one is kept whenever anything fails.

A thread stats the pointer. A new bundle is loaded, warmed and checked beside the one that serves, by one worker of the
machine at a time; then one reference changes. What became of it is in this worker's state file. The canary and the
shadow come after the champion, so that they hold nothing up (bentos.models.candidate_roles).

The champion before stays loaded until the next swap: the way back takes no disk, and no check, for it has served here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from pathlib import Path

from bentos.models.acceptance import check
from bentos.models.batch_size import tune_batch_size
from bentos.models.candidate_roles import RETRY_SECONDS, CandidateRoles, Changed
from bentos.models.loaded_model import LoadedModel, load
from bentos.models.local_state import LocalState
from slipway.errors import BundleError, SettingsError, SlipwayError
from slipway.serving_state import desired, observed
from slipway.serving_state.desired import DesiredState
from slipway.serving_state.observed import RoleState, WorkerState
from slipway.settings import Settings
from slipway.timestamps import now_iso

LOOK_SECONDS = 0.25
REWRITE_SECONDS = 1.0
_log = logging.getLogger("slipway.serving")


class ModelManager:
    """The models of one use case. `live` is what answers, None until there is one; `problem` says why that is not what
    it should be.

    `roles` is what runs beside it. `changed(role, before, after)` is called with each change.
    """

    def __init__(self, usecase: str, settings: Settings, changed: Changed) -> None:
        self.usecase = usecase
        self.live: LoadedModel | None = None
        self.problem: str | None = None
        self._before: LoadedModel | None = None
        self._settings = settings
        self._changed = changed
        self._disk = LocalState(settings, usecase)
        self.roles = CandidateRoles(usecase, settings, self._disk, changed)
        self._target: DesiredState | None = None
        self._seen: tuple[int, int] | None = None
        self._state_file = observed.StateFile(settings.serving, usecase)
        self._write_again_at: float | None = None
        self._state = WorkerState(os.getpid(), 0, None, None, "none", "none", now_iso())
        self._retry_at: float | None = None
        self._packaged_at: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"models-{usecase}", daemon=True)

    def start(self) -> None:
        """Load what is there to load, then follow the pointer.

        Raises:
            SlipwayError: a bundle was named (SLIPWAY_BUNDLE) and cannot be served; outside of containers also what is
                wrong with this machine's settings, as a device that it has not.
        """
        with contextlib.suppress(OSError):
            observed.forget_dead(self._settings.serving, self.usecase)
        if self._settings.bundle is not None:
            self._take(self._settings.bundle, source="bundle")
        self._write_state(None)
        if self._settings.bundle is not None:
            return
        if self._disk.packaged:
            wait = self._settings.start_wait_seconds if self._settings.has_registry else 0.0
            self._packaged_at = time.monotonic() + wait
        self._look(starting=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self.roles.stop()
        self._state_file.remove()

    def _watch(self) -> None:
        said = ""
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self._look()
            except Exception as error:  # a volume that fails does so four times a second
                if repr(error) != said:
                    _log.exception("%s: the pointer could not be followed", self.usecase)
                said = repr(error)
            else:
                said = ""

    def _look(self, *, starting: bool = False) -> None:
        seen = self._disk.pointer_stamp()
        now = time.monotonic()
        if seen is not None and (seen != self._seen or (self._retry_at is not None and now >= self._retry_at)):
            self._seen, self._retry_at = seen, None
            self._follow(starting)
        if self.live is None and self._packaged_at is not None and now >= self._packaged_at:
            self._packaged_at = None
            self._fall_back_to_packaged()
        if self.live is not None and self._target is not None and not starting:
            self.roles.follow(self._target, self.live, self._tell)
        if self._write_again_at is not None and now >= self._write_again_at:
            self._tell()

    def _follow(self, starting: bool) -> None:
        try:
            target = desired.read(self._settings.serving, self.usecase)
        except BundleError as error:
            self.problem = str(error)
            _log.error("%s: %s", self.usecase, error)
            return
        if target is None:
            return
        self._target = target
        self.roles.weigh(target.canary)
        champion = None
        if target.champion is not None:
            champion = self._become(target.champion, target.generation, starting)
            if self.live is None:
                self._return_to_last_good(target.champion)
        self._write_state(champion, target.generation)

    def _become(self, digest: str, generation: int, starting: bool) -> RoleState:
        """Serve the pointer's champion, or say why not."""
        if self.live is not None and self.live.digest == digest:
            self.problem = None
            return RoleState(digest, self.live.version)
        if self._before is not None and self._before.digest == digest:
            return self._return_to(self._before)
        version = self._disk.version(digest)
        self._write_state(RoleState(digest, version, "loading"), generation)
        try:
            with self._disk.one_at_a_time():
                self._take(self._disk.stored(digest), digest=digest)
            self._disk.remember_good(digest)
        except SettingsError as error:  # no fault of the version's: on another machine it may serve
            if starting and not self._settings.container:
                raise
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return self._not_taken(digest, version, "failed", str(error))
        except SlipwayError as error:
            return self._not_taken(digest, version, "refused", str(error))
        except Exception as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return self._not_taken(digest, version, "failed", f"{type(error).__name__}: {error}")
        self.problem = None
        return RoleState(digest, version)

    def _return_to(self, before: LoadedModel) -> RoleState:
        self._let_serve(before)
        self._disk.remember_good(before.digest)
        self.problem = None
        return RoleState(before.digest, before.version)

    def _take(self, directory: Path, *, digest: str | None = None, source: str = "pointer") -> None:
        """Load and check the bundle beside the one that serves, then let it take over."""
        loaded = load(directory, self.usecase, digest=digest, source=source, device=self._settings.device)
        check(loaded, self.live, self._settings)
        loaded.batching = tune_batch_size(loaded, self._settings.batching)
        self._let_serve(loaded)

    def _let_serve(self, loaded: LoadedModel) -> None:
        before = self._before = self.live
        self.live = loaded
        self._changed("champion", before, loaded)
        _log.info("%s: version %s serves now (%s, %s)", self.usecase, loaded.version, loaded.source, loaded.device)

    def _not_taken(self, digest: str, version: str | None, outcome: str, reason: str) -> RoleState:
        named = f"version {version}" if version else f"the bundle {digest[:12]}"
        kept = f"version {self.live.version} keeps serving" if self.live else "nothing serves yet"
        _log.error("%s: %s was %s, %s: %s", self.usecase, named, outcome, kept, reason)
        self.problem = f"{named} was {outcome}: {reason}"
        return RoleState(digest, version, outcome, reason)

    def _return_to_last_good(self, refused: str) -> None:
        """A worker that starts while the pointer names a refused bundle serves what its predecessor served."""
        digest = self._disk.last_good()
        if digest is not None and digest != refused:
            try:
                self._take(self._disk.stored(digest), digest=digest)
            except SlipwayError as error:
                _log.error("%s: nor can the version that served last: %s", self.usecase, error)

    def _fall_back_to_packaged(self) -> None:
        """With no model after the wait for the alias, the champion of the day the image was built serves."""
        assert self._disk.packaged is not None
        try:
            self._take(self._disk.packaged, source="packaged")
        except SlipwayError as error:
            self.problem = f"The packaged bundle cannot be served: {error}"
            _log.error("%s: the packaged bundle cannot be served: %s", self.usecase, error)
        else:
            self._tell()

    def _tell(self) -> None:
        """Write what has changed, other than what became of the pointer's champion."""
        self._write_state(self._state.roles.get("champion"), self._state.generation)

    def _write_state(self, champion: RoleState | None, generation: int = 0) -> None:
        live, before = self.live, self._state
        serving = live.digest if live else None
        self._state = WorkerState(
            pid=before.pid,
            generation=generation,
            serving=serving,
            version=live.version if live else None,
            device=live.device if live else "none",
            source=live.source if live else "none",
            since=before.since if serving == before.serving else now_iso(),
            roles=({"champion": champion} if champion else {}) | self.roles.states,
        )
        try:
            self._state_file.write(self._state)
        except OSError as error:  # a full disk must not keep a model from serving
            if self._write_again_at is None:
                _log.error("%s: this worker's state cannot be written: %s", self.usecase, error)
            self._write_again_at = time.monotonic() + REWRITE_SECONDS
        else:
            self._write_again_at = None
