"""The issuer's public keys (JWKS, RFC 7517) from a URL or file: read again in time, and when a token names a new key.

A thread reads them. While it fails, the known keys remain valid for a configured time; after that the issuer may have
withdrawn any of them.
"""

from __future__ import annotations

import base64
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from slipway.clients import http
from slipway.errors import ServiceError, SettingsError
from slipway.system.files import read_regular
from slipway.texts import one_line

REFRESH_SECONDS = 300.0
RETRY_SECONDS = 5.0  # between two readings: made-up key ids must not cause a request each
TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 1 << 20
_MAX_KEYS = 1000
_log = logging.getLogger("slipway.serving")


class _Document(msgspec.Struct):
    """A set of keys; each is checked on its own when it is imported."""

    keys: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=_MAX_KEYS)]


class Jwks:
    """The keys by key id; `generation` increases when they change. `expiry` is when the last one expires, if all do.

    Raises:
        SettingsError: the source is plain http on another machine: anyone on the network path could choose the keys.
    """

    def __init__(self, source: str, outage_seconds: float) -> None:
        self.source = source
        self.keys: dict[str, Key] = {}
        self.generation = 0
        self.problem = "they were not read yet"
        self.expiry: float | None = None
        self._outage = outage_seconds
        self._read_at = self._tried_at = float("-inf")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jwks")
        self._reading: Future[None] | None = None
        _refuse_plain_http(source)

    def known(self) -> bool:
        """Whether the keys are valid now. Starts a reading where one is due, and never waits for it."""
        now = time.monotonic()
        if now - self._read_at > REFRESH_SECONDS:
            self.start_reading(now)
        return now - self._read_at <= REFRESH_SECONDS + self._outage

    def start_reading(self, now: float | None = None) -> Future[None] | None:
        """Return the current reading, or a new one; None within RETRY_SECONDS of the last one."""
        now = time.monotonic() if now is None else now
        if self._reading is not None and not self._reading.done():
            return self._reading
        if now - self._tried_at < RETRY_SECONDS:
            return None
        self._tried_at = now
        self._reading = self._thread.submit(self._read)
        return self._reading

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _read(self) -> None:
        try:
            keys = _import_keys(http.decode(_read_source(self.source), _Document))
            generation = self.generation + (_thumbprints(keys) != _thumbprints(self.keys))
        except Exception as error:  # whatever an issuer publishes: the known keys remain, and it is read again
            name = "" if isinstance(error, ServiceError) else f"{type(error).__name__}: "
            self.problem = one_line(f"{name}{error}")
            _log.warning("the public keys of bearer tokens cannot be read from %s: %s", self.source, self.problem)
            return
        self.keys, self.generation, self.problem, self._read_at = keys, generation, "", time.monotonic()
        self.expiry = _last_expiry(keys)


def _read_source(source: str) -> bytes:
    if "://" not in source:
        return read_regular(Path(source), _MAX_BYTES)
    # no redirects: the keys come from the configured URL and from nowhere else
    response = http.request("GET", source, timeout=TIMEOUT_SECONDS, max_bytes=_MAX_BYTES, follow_redirects=False)
    if not response.ok:
        raise ServiceError(f"the response is {response.status} {response.reason}".rstrip())
    return response.content


def _import_keys(document: _Document) -> dict[str, Key]:
    """Import the public keys for signatures; a symmetric key in a public set is ignored."""
    keys = {}
    for entry in document.keys:
        if entry.get("kty") == "oct" or entry.get("use", "sig") != "sig":
            continue
        try:
            key = JWKRegistry.import_key(entry)
        except (JoseError, ValueError, TypeError, AttributeError, OverflowError):
            continue  # RFC 7517, section 5: keys that are not understood are ignored
        key.ensure_kid()
        keys[str(key.kid)] = key
    if not keys:
        raise ValueError("there is no public key for signatures in it")
    return keys


def _last_expiry(keys: dict[str, Key]) -> float | None:
    """Return when the last key expires, since issuers publish new ones beside the old; None where one never does."""
    expiries = [_expiry(key) for key in keys.values()]
    known = [expiry for expiry in expiries if expiry is not None]
    return max(known) if len(known) == len(expiries) else None


def _expiry(key: Key) -> float | None:
    """Read `exp` of a key (OpenID Federation 1.0), or the expiry of its certificate (`x5c`); None without both."""
    try:
        entry: dict[str, Any] = key.as_dict(private=False)
        if "exp" in entry:
            return float(entry["exp"])
        if chain := entry.get("x5c"):
            return x509.load_der_x509_certificate(base64.b64decode(chain[0])).not_valid_after_utc.timestamp()
    except Exception:  # whatever an issuer publishes beside the key: it verifies tokens all the same
        _log.warning("the expiry of the public key %s cannot be read", one_line(str(key.kid)))
    return None


def _thumbprints(keys: dict[str, Key]) -> dict[str, str]:
    """Return the thumbprints by key id (RFC 7638): an issuer may give a new key an old id."""
    return {kid: key.thumbprint() for kid, key in keys.items()}


def _refuse_plain_http(source: str) -> None:
    parts = urlsplit(source)
    if parts.scheme in ("https", "") or "://" not in source:
        return
    if parts.scheme == "http" and parts.hostname and http.is_loopback(parts.hostname):
        return
    raise SettingsError(f"SLIPWAY_JWT_JWKS={source}: an https URL or a file is needed; http on this machine only.")
