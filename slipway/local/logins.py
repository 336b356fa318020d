"""Logins of the local servers: a random password per server of a state folder, in a file that only its owner reads."""

from __future__ import annotations

import secrets
from pathlib import Path

from slipway.errors import SettingsError
from slipway.system.files import create_once, open_regular

_USER = "slipway"
_LEAST = 16
_MOST = 4096  # bytes


def login_file(var: Path, server: str) -> Path:
    """Name the file that holds the login of `mlflow` or `prefect`."""
    return var / f"{server}.login"


def read_login(var: Path, server: str) -> str:
    """Read the login, `USER:PASSWORD`; it is created on first use.

    Raises:
        SettingsError: the file cannot be made or read, or holds no login.
    """
    path = login_file(var, server)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            create_once(path, f"{_USER}:{secrets.token_urlsafe(24)}")
        with open_regular(path) as file:
            found = file.read(_MOST).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}, the login of {server}, cannot be made or read: {error}.") from None
    user, colon, password = found.partition(":")
    if not (user and colon and len(password) >= _LEAST):
        raise SettingsError(f"{path} holds no login (USER:PASSWORD, of {_LEAST} characters or more): remove it.")
    return found
