"""Whether the servers of this machine ask for credentials: from the first key on, whatever is lost afterwards.

A key file may be deleted and its volume may be gone when a worker starts again. So that this opens no server, settings
decide, and what keys leave behind: their folder, and a record that is kept apart from it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from slipway.settings import Settings
from slipway.system.files import write_text

_TEXT = """\
API keys were made here, so every server of this folder asks for a credential, also when the key file is gone.
To serve this machine without credentials again, remove this file and the folder of the keys ({keys}).
"""


def record_path(settings: Settings) -> Path:
    """Name the record's file."""
    return settings.var / "credentials.required"


def credentials_required(settings: Settings) -> bool:
    """Tell whether a request needs a credential. What cannot be looked at counts as there."""
    if settings.require_credentials or settings.keys is not None or settings.jwt_jwks:
        return True
    return any(_may_exist(path) for path in (record_path(settings), settings.key_file.parent))


def record_keys(settings: Settings) -> None:
    """Record that there are keys in this state folder; those of a file that SLIPWAY_KEYS names need no record.

    Where it cannot be written, the folder of the keys is the record until a server or a command writes it.
    """
    path = record_path(settings)
    with contextlib.suppress(OSError):
        if settings.keys is None and not path.exists():
            write_text(path, _TEXT.format(keys=settings.key_file.parent))


def _may_exist(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
