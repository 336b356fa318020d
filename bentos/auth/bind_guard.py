"""Bind guard: without credentials, the server listens on loopback only, unless a setting allows more."""

from __future__ import annotations

from slipway import api_keys
from slipway.clients.http import is_loopback
from slipway.credentials import credentials_required
from slipway.errors import SettingsError
from slipway.settings import Settings


def check_bind_address(settings: Settings, address: str | None = None) -> None:
    """Raise SettingsError where other machines would reach the server without credentials, or its key file is missing.

    `address` is the one that the socket is bound to, where that is known; else the setting counts.
    """
    _check_key_file(settings)
    host = address or settings.host
    if settings.insecure or credentials_required(settings) or (is_loopback(host) and not settings.container):
        return
    where = "in a container (SLIPWAY_CONTAINER=true)" if settings.container else f"on {host}"
    raise SettingsError(
        f"No credentials are configured, so Slipway does not serve {where}: everybody who reaches it could use it. "
        f"Make a key with `slipway keys create NAME` (in {settings.key_file}, or the file in SLIPWAY_KEYS), accept "
        "tokens (SLIPWAY_JWT_ISSUER, SLIPWAY_JWT_AUDIENCE, SLIPWAY_JWT_JWKS), or serve on 127.0.0.1. "
        "SLIPWAY_INSECURE=true serves everybody, for a network that itself restricts access."
    )


def _check_key_file(settings: Settings) -> None:
    """Check the file in SLIPWAY_KEYS: on a laptop it may be made later, a container's is mounted before the start."""
    if settings.keys is not None and settings.container and not settings.keys.exists():
        raise SettingsError(
            f"the key file {settings.keys} (SLIPWAY_KEYS) is not there: mount the secret that holds it. "
            "`slipway keys create NAME` writes one."
        )
    api_keys.read(settings.key_file)


def listening_addresses() -> list[str]:
    """Return the addresses of the sockets that this process listens on, inherited ones included."""
    import psutil

    return [c.laddr.ip for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
