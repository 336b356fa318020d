"""Model manager: keeps one use case's model in this worker at the desired state, and the old model where that fails.

A thread watches the pointer's file. A new bundle is loaded, warmed up and checked while the old one serves, by one
worker of the machine at a time; then one reference changes. The result is written to this worker's state file. Canary
and shadow follow after the champion, so that they never delay it (bentos.models.candidate_roles).

The previous champion stays loaded until the next swap: a rollback needs no disk and no checks, for it has served here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bentos.models.acceptance import check_acceptance
from bentos.models.activation import Retry, attempt_activation, bundle_name
from bentos.models.candidate_roles import CandidateRoles, OnChange
from bentos.models.loaded_model import LoadedModel, load
from bentos.models.local_state import LocalState, Stamp
from slipway.errors import BundleError, SettingsError
from slipway.serving_state import desired, observed
from slipway.serving_state.desired import DesiredState
from slipway.serving_state.observed import RoleState, WorkerState
from slipway.settings import Settings
from slipway.system.repeated_errors import RepeatedErrors
from slipway.timestamps import now_iso

POLL_SECONDS = 0.25
REWRITE_SECONDS = 1.0
_log = logging.getLogger("slipway.serving")


class ModelManager:
    """The models of one use case in this worker.

    `live` is the model that answers, None until there is one; `problem` is why it is not the desired one. `roles` holds
    the canary and the shadow. `on_change(role, before, after)` is called with each change of a role's model, and
    `on_attempt(outcome)` with each attempt to serve the desired champion.
    """

    def __init__(
        self,
        usecase: str,
        settings: Settings,
        on_change: OnChange,
        on_attempt: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self.usecase = usecase
        self.live: LoadedModel | None = None
        self.problem: str | None = None
        self._previous: LoadedModel | None = None
        self._settings = settings
        self._on_change = on_change
        self._on_attempt = on_attempt
        self._local = LocalState(settings, usecase)
        self.roles = CandidateRoles(usecase, settings, self._local, on_change)
        self._target: DesiredState | None = None
        self._pointer_stamp: Stamp | None = None
        self._state_file = observed.StateFile(settings.serving, usecase)
        self._rewrite_at: float | None = None
        self._state = WorkerState(os.getpid(), 0, None, None, "none", "none", now_iso())
        self._retry = Retry(self._local)
        self._packaged_at: float | None = None
        self._errors = RepeatedErrors(_log, f"{usecase}: following the pointer")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"models-{usecase}", daemon=True)

    def start(self) -> None:
        """Load the bundle that is there, then follow the pointer in a thread.

        Raises:
            SlipwayError: the bundle in SLIPWAY_BUNDLE cannot be served; outside of containers also wrong settings of
                this machine, such as a device that it lacks.
        """
        with contextlib.suppress(OSError):
            observed.forget_dead(self._settings.serving, self.usecase)
        self._local.remove_drafts()
        if self._settings.bundle is not None:
            self._load_and_activate(self._settings.bundle, source="bundle")
        self._write_state(None)
        if self._settings.bundle is not None:
            return
        if self._local.packaged:
            wait = self._settings.start_wait_seconds if self._settings.has_registry else 0.0
            self._packaged_at = time.monotonic() + wait
        try:
            self._poll(starting=True)
        except SettingsError:
            raise
        except Exception:  # a server that waits can be mended, and says what it waits for
            _log.exception("%s: the pointer could not be followed at the start", self.usecase)
        self._thread.start()

    def stop(self) -> None:
        """Stop following, let the candidates finish, and remove this worker's state file."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self.roles.stop()
        self._state_file.remove()

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            with self._errors.logged():
                self._poll()

    def _poll(self, *, starting: bool = False) -> None:
        stamp = self._local.pointer_stamp()
        now = time.monotonic()
        if stamp is not None and (stamp != self._pointer_stamp or self._retry.is_due()):
            self._follow_pointer(starting)
            self._pointer_stamp = stamp
        elif starting:
            self._activate_last_good()
        if self.live is None and self._packaged_at is not None and now >= self._packaged_at:
            self._packaged_at = None
            self._activate_packaged()
        if self.live is not None and self._target is not None and not starting:
            self.roles.follow(self._target, self.live, self._report)
        if self._rewrite_at is not None and now >= self._rewrite_at:
            self._report()

    def _follow_pointer(self, starting: bool) -> None:
        try:
            target = desired.read(self._settings.serving, self.usecase)
        except BundleError as error:
            self.problem = str(error)
            _log.error("%s: %s", self.usecase, error)
            self._activate_last_good()
            self._report()
            return
        if target is None:
            return
        self._target = target
        self.roles.set_weight(target.canary)
        champion = None
        if target.champion is not None:
            champion = self._follow_target(target.champion, target.generation, starting)
            self._activate_last_good(target.champion)
        self._write_state(champion, target.generation)

    def _follow_target(self, digest: str, generation: int, starting: bool) -> RoleState:
        """Make the desired champion serve, and return the state that this leads to."""
        self._retry.cancel()
        if self.live is not None and self.live.digest == digest:
            self.problem = None
            return RoleState(digest, self.live.version)
        if self._previous is not None and self._previous.digest == digest:
            return self._reactivate(self._previous)
        version = self._local.version(digest)
        self._write_state(RoleState(digest, version, "loading"), generation)
        stamp = self._local.bundle_stamp(digest)
        state = attempt_activation(
            digest,
            version,
            lambda: self._load_and_activate_stored(digest, generation),
            settings_are_fatal=starting and not self._settings.container,
        )
        self._on_attempt(state.outcome)
        if state.outcome == "serving":
            self.problem = None
            return state
        self._retry.after(state, stamp)
        self._report_rejection(state)
        return state

    def _reactivate(self, previous: LoadedModel) -> RoleState:
        self._activate(previous)
        self._local.remember_good(previous.digest)
        self.problem = None
        state = RoleState(previous.digest, previous.version)
        self._on_attempt(state.outcome)
        return state

    def _load_and_activate_stored(self, digest: str, generation: int) -> None:
        with self._local.loading(digest, generation):
            self._load_and_activate(
                self._local.stored(digest), digest=digest, sandbox=lambda: self._load_in_sandbox(digest)
            )
        self._local.remember_good(digest)

    def _load_in_sandbox(self, digest: str) -> None:
        """Load the bundle in another process first, where another one serves or could serve."""
        if self.live is not None or self._local.last_good() not in (None, digest):
            self._local.load_in_sandbox(digest)

    def _load_and_activate(
        self,
        directory: Path,
        *,
        digest: str | None = None,
        source: str = "pointer",
        sandbox: Callable[[], None] = lambda: None,
    ) -> None:
        """Load and check the bundle while the current model serves, then make it serve."""
        loaded = load(
            directory, self.usecase, digest=digest, source=source, device=self._settings.device, sandbox=sandbox
        )
        check_acceptance(loaded, self.live, self._settings)
        loaded.tune_batch_size(self._settings.batching)
        self._activate(loaded)

    def _activate(self, loaded: LoadedModel) -> None:
        before = self._previous = self.live
        self.live = loaded
        self._on_change("champion", before, loaded)
        _log.info("%s: version %s serves now (%s, %s)", self.usecase, loaded.version, loaded.source, loaded.device)

    def _report_rejection(self, state: RoleState) -> None:
        kept = f"version {self.live.version} keeps serving" if self.live else "nothing serves yet"
        named = bundle_name(state)
        _log.error("%s: %s was %s, %s: %s", self.usecase, named, state.outcome, kept, state.reason)
        self.problem = f"{named} was {state.outcome}: {state.reason}"

    def _activate_last_good(self, rejected: str | None = None) -> None:
        """Serve what served last on this machine, where nothing serves: the pointer is unreadable, or `rejected`."""
        digest = self._local.last_good()
        if self.live is not None or digest is None or digest == rejected:
            return
        state = attempt_activation(
            digest, None, lambda: self._load_and_activate(self._local.stored(digest), digest=digest)
        )
        if state.reason is not None:
            _log.error("%s: the version that served last cannot be served either: %s", self.usecase, state.reason)

    def _activate_packaged(self) -> None:
        """Serve the image's bundle, after the wait for the alias has brought no model."""
        packaged = self._local.packaged
        assert packaged is not None
        state = attempt_activation("", None, lambda: self._load_and_activate(packaged, source="packaged"))
        if state.reason is not None:
            self.problem = f"The packaged bundle cannot be served: {state.reason}"
            _log.error("%s: the packaged bundle cannot be served: %s", self.usecase, state.reason)
        else:
            self._report()

    def _report(self) -> None:
        """Write the state anew, the desired champion's outcome unchanged."""
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
            if self._rewrite_at is None:
                _log.error("%s: this worker's state cannot be written: %s", self.usecase, error)
            self._rewrite_at = time.monotonic() + REWRITE_SECONDS
        else:
            self._rewrite_at = None
