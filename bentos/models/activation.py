"""Activation: one attempt to put a stored bundle into a role, and the state that the attempt leads to."""

from __future__ import annotations

from collections.abc import Callable

from slipway.errors import SettingsError, SlipwayError
from slipway.serving_state.observed import RoleState

RETRY_SECONDS = 60.0  # a failure of the machine (memory, disk) may pass; a refusal of the bundle is final


def attempt_activation(
    digest: str, version: str | None, activate: Callable[[], None], *, settings_are_fatal: bool = False
) -> RoleState:
    """Call `activate` and return the role's state: serving, `refused` (the bundle's fault) or `failed` (the machine's).

    Wrong settings are a failure of the machine: elsewhere the same bundle may serve.

    Raises:
        SettingsError: the settings are wrong, and `settings_are_fatal`.
    """
    try:
        activate()
    except SettingsError as error:
        if settings_are_fatal:
            raise
        return RoleState(digest, version, "failed", str(error))
    except SlipwayError as error:
        return RoleState(digest, version, "refused", str(error))
    except Exception as error:
        return RoleState(digest, version, "failed", f"{type(error).__name__}: {error}")
    return RoleState(digest, version)


def bundle_name(state: RoleState) -> str:
    """Name the state's bundle for a message: by its version, else by the start of its digest."""
    return f"version {state.version}" if state.version else f"the bundle {state.digest[:12]}"
