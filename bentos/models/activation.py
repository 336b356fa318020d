"""Activation: one attempt to put a stored bundle into a role, and the state that the attempt leads to."""

from __future__ import annotations

import time
from collections.abc import Callable

from bentos.models.local_state import LocalState, Stamp
from slipway.errors import DamagedFile, SettingsError, SlipwayError
from slipway.serving_state.observed import RoleState

RETRY_SECONDS = 60.0  # a failure of the machine (memory, disk) may pass; a refusal of the bundle is final


class Retry:
    """When a bundle is tried again that could not serve: once its stored bytes changed, or the machine may have."""

    def __init__(self, local: LocalState) -> None:
        self._local = local
        self._rejected: tuple[str, Stamp | None] | None = None
        self._at: float | None = None

    def after(self, state: RoleState, stamp: Stamp | None) -> None:
        """Wait after this outcome of an attempt that began when the bundle had this stamp."""
        self._rejected = state.digest, stamp
        self._at = time.monotonic() + RETRY_SECONDS if state.outcome == "failed" else None

    def cancel(self) -> None:
        """Try nothing again: another bundle is asked for, or the attempt begins."""
        self._rejected = self._at = None

    def is_due(self) -> bool:
        """Tell whether to try now. Costs one system call while a bundle is rejected."""
        if self._rejected is None:
            return False
        digest, stamp = self._rejected
        return (self._at is not None and time.monotonic() >= self._at) or self._local.bundle_stamp(digest) != stamp


def attempt_activation(
    digest: str, version: str | None, activate: Callable[[], None], *, settings_are_fatal: bool = False
) -> RoleState:
    """Call `activate` and return the role's state: serving, `refused` (the bundle's fault) or `failed` (the machine's).

    Wrong settings and damaged files are failures of the machine: elsewhere the same bundle may serve.

    Raises:
        SettingsError: the settings are wrong, and `settings_are_fatal`.
    """
    try:
        activate()
    except SettingsError as error:
        if settings_are_fatal:
            raise
        return RoleState(digest, version, "failed", str(error))
    except DamagedFile as error:
        return RoleState(digest, version, "failed", str(error))
    except SlipwayError as error:
        return RoleState(digest, version, "refused", str(error))
    except Exception as error:
        return RoleState(digest, version, "failed", f"{type(error).__name__}: {error}")
    return RoleState(digest, version)


def bundle_name(state: RoleState) -> str:
    """Name the state's bundle for a message: by its version, else by the start of its digest."""
    return f"version {state.version}" if state.version else f"the bundle {state.digest[:12]}"
