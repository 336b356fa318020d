"""API keys of this process, read from the key file and again whenever that changes."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

from bentos.auth.principal import Principal, make_principal
from slipway import api_keys
from slipway.errors import SettingsError
from slipway.system.descriptors import ReservedDescriptor

_log = logging.getLogger("slipway.serving")
_Stamp = tuple[int, int, int]
_ABSENT, _UNREADABLE = (0, 0, 0), (-1, -1, -1)


class KeyRing:
    """The principals by the SHA-256 of their keys; `problem` says why the keys are too old to be used, if they are.

    `rate` and `rows` are the limits of keys that have none of their own.

    While the file cannot be read, it is tried again with every `refresh`, and the known keys remain valid for
    `outage_seconds`: after that any of them may have been revoked. One descriptor is held in reserve, so that a process
    that has used up its own can still read the file.

    Raises:
        SettingsError: the file exists and cannot be read: a server must not start with unknown keys.
    """

    def __init__(self, path: Path, secret: bytes, outage_seconds: float, *, rate: str = "", rows: str = "") -> None:
        self.principals: dict[bytes, Principal] = {}
        self.problem: str | None = None
        self._path, self._secret, self._rate, self._rows = path, secret, rate, rows
        self._outage = outage_seconds
        self._stamp: _Stamp | None = None
        self._failure = ""
        self._read_at = time.monotonic()
        self._reserve = ReservedDescriptor()
        self._read(_stamp(path))

    def refresh(self) -> None:
        """Read the file again if it changed. Otherwise one stat, which is short enough for the event loop."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            self._read_at = time.monotonic()
            return
        try:
            self._read(stamp)
        except SettingsError as error:
            self._keep_known_keys(str(error))

    def next_end(self) -> float | None:
        """Return when the next key ends that is valid still, in seconds since 1970; None where none ends."""
        ends = (one.expires for one in self.principals.values() if one.expires < math.inf and not one.has_expired())
        return min(ends, default=None)

    def close(self) -> None:
        self._reserve.close()

    def _read(self, stamp: _Stamp) -> None:
        """Read the file. Its stamp, which was taken before, is noted only now that this succeeded."""
        found = [] if stamp == _ABSENT else self._read_file()
        if stamp == _ABSENT and self.principals:
            _log.warning("the key file %s is gone: no key is accepted until there is one again.", self._path)
        if self._failure:
            _log.info("the key file %s can be read again.", self._path)
        self.principals = {bytes.fromhex(key.sha256): self._principal(key) for key in found}
        self._stamp, self._read_at = stamp, time.monotonic()
        self._failure, self.problem = "", None

    def _read_file(self) -> list[api_keys.Key]:
        with self._reserve.given_up():
            return api_keys.read(self._path)

    def _keep_known_keys(self, failure: str) -> None:
        """Log a failed reading once, have it repeated, and drop the keys when they are unconfirmed for too long."""
        self._stamp = None
        if failure != self._failure:
            _log.error("the known keys remain valid for %.0f s at most: %s", self._outage, failure)
        self._failure = failure
        if time.monotonic() - self._read_at >= self._outage:
            self.principals, self.problem = {}, failure

    def _principal(self, key: api_keys.Key) -> Principal:
        expires = key.expires.timestamp() if key.expires else math.inf
        return make_principal(
            key.name,
            key.scopes,
            key.sha256,
            self._secret,
            usecases=key.usecases,
            rate=key.rate or self._rate,
            rows=key.rows or self._rows,
            expires=expires,
        )


def _stamp(path: Path) -> _Stamp:
    """Return what changes with each write of the file: a rename makes another inode."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return _ABSENT
    except OSError:
        return _UNREADABLE
    return found.st_mtime_ns, found.st_ino, found.st_size
