"""Where the server may listen: without credentials for this machine alone, unless a person says otherwise."""

from __future__ import annotations

import ipaddress
import sys

from slipway.errors import SettingsError
from slipway.settings import Settings

EXIT_UNSAFE = 78  # EX_CONFIG of sysexits.h: an orchestrator should not restart this


def is_loopback(host: str) -> bool:
    """
    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def configured(settings: Settings) -> bool:
    """Whether credentials are asked for: from the moment that there is a key file, or an issuer of tokens."""
    return settings.key_file.exists() or bool(settings.jwt_jwks)


def check(settings: Settings, address: str | None = None) -> None:
    """Raises SettingsError where the server would answer strangers.

    `address` is what the socket is really bound to, where that is known; else the setting counts.
    """
    host = address or settings.host
    if settings.insecure or configured(settings) or (is_loopback(host) and not settings.container):
        return
    where = "in a container (SLIPWAY_CONTAINER=true)" if settings.container else f"on {host}"
    raise SettingsError(
        f"No credentials are configured, so Slipway does not serve {where}: everybody who reaches it could use it. "
        f"Make a key with `slipway keys create NAME` (in {settings.key_file}, or where SLIPWAY_KEYS says), accept "
        "tokens (SLIPWAY_JWT_ISSUER, SLIPWAY_JWT_AUDIENCE, SLIPWAY_JWT_JWKS), or serve on 127.0.0.1. "
        "SLIPWAY_INSECURE=true serves everybody: for a network that lets only the right ones in."
    )


def refuse_unsafe(settings: Settings) -> None:
    """End the process before anything is bound: with 78 in a container, else with 1."""
    try:
        check(settings)
    except SettingsError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(EXIT_UNSAFE if settings.container else 1) from None


def listening_addresses() -> list[str]:
    """The addresses of the sockets that this process listens on, inherited ones too."""
    import psutil

    return [c.laddr.ip for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
