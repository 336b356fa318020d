"""API keys: the file that `slipway keys` writes and every server reads; it holds digests, never a key.

A key is 256 random bits, so its plain SHA-256 can be neither guessed nor reversed: a slow hash would add nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from slipway.errors import SettingsError, suggestion
from slipway.system.files import read_regular, write_bytes
from slipway.system.locks import exclusive
from slipway.timestamps import parse

PREFIX = "slk_"
SCOPES = ("predict", "feedback", "explain", "read", "admin")
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
USECASE = r"[a-z][a-z0-9_]{0,62}"
RATE = r"[1-9]\d{0,8}/(second|minute|hour|day)"
_PERIODS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_VERSION = 1
_MAX_BYTES = 8 << 20


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An entry; `rate` (requests) and `rows` are `N/second|minute|hour|day`, or empty for the default.

    Without `expires` it is for good, without `usecases` for all of them. Defaults are not written, so that a server of
    an older version still reads keys that it can hold to, and refuses a file with those that it cannot.
    """

    name: str
    sha256: str
    scopes: tuple[str, ...]
    created: datetime
    rate: str = ""
    expires: datetime | None = None
    usecases: tuple[str, ...] | None = None
    rows: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int = _VERSION
    keys: list[Key] = []


def read(path: Path) -> list[Key]:
    """Read the keys; none if there is no file. Raises SettingsError if it is not as `slipway keys` writes it."""
    try:
        content = read_regular(path, _MAX_BYTES)
        found = msgspec.json.decode(content, type=_File)
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise SettingsError(f"the key file {path} cannot be read: {error if content else 'it is empty'}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"the key file {path} cannot be read: {error}") from None
    if found.version != _VERSION:
        raise SettingsError(f"the key file {path} has version {found.version}; this Slipway reads {_VERSION}.")
    for key in found.keys:
        _check(key, path)
    return found.keys


def create(
    path: Path,
    name: str,
    scopes: Iterable[str],
    rate: str = "",
    expires: datetime | None = None,
    *,
    usecases: Iterable[str] | None = None,
    rows: str = "",
) -> tuple[Key, str]:
    """Add a key; returns its entry and the key itself, which nobody can show again.

    Raises:
        SettingsError: the name is taken, or a scope, a use case, a rate or a name is none, or one is given twice.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    only = None if usecases is None else _distinct(usecases, "usecases")
    key = Key(name, digest(secret), _distinct(scopes, "scopes"), datetime.now(UTC), rate, expires, only, rows)
    _check(key, path)
    with _changed(path) as keys:
        if any(other.name == name for other in keys):
            raise SettingsError(f"there is a key {name!r} already: choose another name, or revoke it first.")
        keys.append(key)
    return key, secret


def revoke(path: Path, name: str) -> Key:
    """Remove a key; servers refuse it within a second. Raises SettingsError if there is no such key."""
    if not path.exists():  # nothing is made in the folder of the keys before there is one
        raise SettingsError(f"there is no key {name!r}: there is no key file {path}.")
    with _changed(path) as keys:
        for index, key in enumerate(keys):
            if key.name == name:
                return keys.pop(index)
        names = [key.name for key in keys]
        raise SettingsError(f"there is no key {name!r}.{suggestion(name, names)} There are: {', '.join(names)}.")


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def expiry(text: str, now: datetime | None = None) -> datetime:
    """
    >>> expiry("30d", datetime(2026, 1, 1, tzinfo=UTC)).date().isoformat(), expiry("2027-01-31").isoformat()
    ('2026-01-31', '2027-01-31T00:00:00+00:00')
    """
    now = now or datetime.now(UTC)
    if found := re.fullmatch(r"([1-9]\d{0,4})([mhd])", text):
        return now + int(found.group(1)) * _PERIODS[found.group(2)]
    try:
        moment = parse(text)
    except ValueError:
        raise SettingsError(f"{text!r} is no time: write 30d, 12h, 15m, or a date as 2027-01-31.") from None
    if moment <= now:
        raise SettingsError(f"{text!r} is in the past: such a key would never be accepted.")
    return moment


def _distinct(names: Iterable[str], what: str) -> tuple[str, ...]:
    found = tuple(names)
    if twice := [name for name in dict.fromkeys(found) if found.count(name) > 1]:
        raise SettingsError(f"{what}: {', '.join(twice)} is given more than once: name each once.")
    return found


def _check(key: Key, path: Path) -> None:
    where = f"the key {key.name!r} of {path}"
    if not re.fullmatch(NAME, key.name):
        raise SettingsError(f"{key.name!r} is no name of a key: letters, digits, '.', '_' and '-', at most 64.")
    if not re.fullmatch(r"[0-9a-f]{64}", key.sha256):
        raise SettingsError(f"{where} has no SHA-256 in hexadecimal.")
    if not key.scopes:
        raise SettingsError(f"{where} has no scope. There are: {', '.join(SCOPES)}.")
    for scope in key.scopes:
        if scope not in SCOPES:
            raise SettingsError(f"{scope!r} is no scope.{suggestion(scope, SCOPES)} There are: {', '.join(SCOPES)}.")
    _check_usecases(key.usecases, where)
    for rate in (key.rate, key.rows):
        if rate and not re.fullmatch(RATE, rate):
            raise SettingsError(f"{rate!r} is no rate: write it as 100/second, or per minute, hour or day.")
    if key.expires is not None and key.expires.tzinfo is None:
        raise SettingsError(f"{where} expires at a time without its zone.")


def _check_usecases(usecases: tuple[str, ...] | None, where: str) -> None:
    if usecases == ():
        raise SettingsError(f"{where} is for no use case: name one or more, or leave them out for a key for all.")
    for name in usecases or ():
        if not re.fullmatch(USECASE, name):
            raise SettingsError(f"{name!r} is no name of a use case: small letters, digits and '_', as credit_risk.")


@contextmanager
def _changed(path: Path) -> Iterator[list[Key]]:
    """Give the keys to change in place, and write them back atomically; commands wait for each other."""
    with exclusive(path.with_name(f".{path.name}.lock")):
        keys = read(path)
        yield keys
        content = msgspec.json.format(msgspec.json.encode(_File(keys=keys)), indent=2) + b"\n"
        write_bytes(path, content, mode=0o600)
