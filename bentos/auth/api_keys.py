"""The API keys of this process: read from their file, and again whenever the file changes."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from bentos.auth.principal import Principal, principal
from slipway import api_keys
from slipway.errors import SettingsError

_log = logging.getLogger("slipway.serving")
_Mark = tuple[int, int, int]
_ABSENT, _UNREADABLE = (0, 0, 0), (-1, -1, -1)


class KeyRing:
    """`callers` is by the SHA-256 of a key; `present` says whether there is, or was, a key file.

    Raises:
        SettingsError: the file is there and cannot be read: a server must not start with keys that it does not know.
    """

    def __init__(self, path: Path, secret: bytes, rate: str) -> None:
        self.callers: dict[bytes, Principal] = {}
        self.present = False
        self._path, self._secret, self._rate = path, secret, rate
        self._mark = _mark(path)
        self._read()

    def look(self) -> None:
        """Read the file again where it is another one; a stat where it is not, short enough for the event loop."""
        mark = _mark(self._path)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._read()
        except SettingsError as error:
            _log.error("the keys known so far go on counting: %s", error)

    def _read(self) -> None:
        if self._mark == _ABSENT:
            if self.present:
                _log.warning("the key file %s is gone: no key is accepted until there is one again.", self._path)
            self.callers = {}
            return
        found = api_keys.read(self._path)
        self.callers = {bytes.fromhex(key.sha256): self._caller(key) for key in found}
        self.present = True

    def _caller(self, key: api_keys.Key) -> Principal:
        expires = key.expires.timestamp() if key.expires else math.inf
        return principal(key.name, key.scopes, key.sha256, self._secret, key.rate or self._rate, expires)


def _mark(path: Path) -> _Mark:
    """What changes with each writing: a rename makes another inode."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return _ABSENT
    except OSError:
        return _UNREADABLE
    return found.st_mtime_ns, found.st_ino, found.st_size
