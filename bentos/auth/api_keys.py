"""API keys of this process, read from the key file and again whenever that changes."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from bentos.auth.principal import Principal, make_principal
from slipway import api_keys
from slipway.errors import SettingsError

_log = logging.getLogger("slipway.serving")
_Stamp = tuple[int, int, int]
_ABSENT, _UNREADABLE = (0, 0, 0), (-1, -1, -1)


class KeyRing:
    """The principals by the SHA-256 of their keys; `present` is true from the first time that there is a key file.

    Raises:
        SettingsError: the file exists and cannot be read: a server must not start with unknown keys.
    """

    def __init__(self, path: Path, secret: bytes, rate: str) -> None:
        self.principals: dict[bytes, Principal] = {}
        self.present = False
        self._path, self._secret, self._rate = path, secret, rate
        self._stamp = _stamp(path)
        self._read()

    def refresh(self) -> None:
        """Read the file again if it changed. Otherwise one stat, which is short enough for the event loop."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._read()
        except SettingsError as error:
            _log.error("the known keys remain valid: %s", error)

    def _read(self) -> None:
        if self._stamp == _ABSENT:
            if self.present:
                _log.warning("the key file %s is gone: no key is accepted until there is one again.", self._path)
            self.principals = {}
            return
        found = api_keys.read(self._path)
        self.principals = {bytes.fromhex(key.sha256): self._principal(key) for key in found}
        self.present = True

    def _principal(self, key: api_keys.Key) -> Principal:
        expires = key.expires.timestamp() if key.expires else math.inf
        return make_principal(key.name, key.scopes, key.sha256, self._secret, key.rate or self._rate, expires)


def _stamp(path: Path) -> _Stamp:
    """Return what changes with each write of the file: a rename makes another inode."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return _ABSENT
    except OSError:
        return _UNREADABLE
    return found.st_mtime_ns, found.st_ino, found.st_size
