"""Expiry of the certificates in PEM files, which are read again when they are replaced."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from slipway.system.files import read_regular
from slipway.telemetry.credentials import CA_CERTIFICATES, CERTIFICATE
from slipway.texts import one_line

# Authorities that other servers are checked by: of every client, and of the one of S3
_OF_ENVIRONMENT = ("SSL_CERT_FILE", "AWS_CA_BUNDLE")
MOST_BYTES = 4 << 20
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_log = logging.getLogger("slipway.telemetry")
warnings.filterwarnings("ignore", "Parsed a serial number", module=__name__)  # of an old authority, as there are many


class CertificateFiles:
    """The files that `presented` names by their setting, and those of authorities that the environment names.

    A chain ends with the first of its certificates. Of several authorities, one may be old and another in its place: so
    they end with the last.
    """

    def __init__(self, presented: Mapping[str, Path | None]) -> None:
        trusted = {name: Path(path) for name in _OF_ENVIRONMENT if (path := os.environ.get(name))}
        self._files = {
            **{(CERTIFICATE, name): _File(name, path, chain_expiry) for name, path in presented.items() if path},
            **{(CA_CERTIFICATES, name): _File(name, path, _of_authorities) for name, path in trusted.items()},
        }

    def expiries(self) -> dict[tuple[str, str], float | None]:
        """Return when the certificates of each file expire, in seconds since 1970; None where that is not known."""
        return {labels: file.expiry() for labels, file in self._files.items()}


class _File:
    """One file, and how its expiry is read from its content."""

    def __init__(self, setting: str, path: Path, read: Callable[[bytes], float]) -> None:
        self._setting, self._path, self._read = setting, path, read
        self._stamp: tuple[int, int, int] | None = None
        self._expiry: float | None = None
        self._failure = ""

    def expiry(self) -> float | None:
        """Return the expiry. While the file cannot be read, which is logged once, it is the last one that was."""
        try:
            found = self._path.stat()
            stamp = found.st_mtime_ns, found.st_ino, found.st_size
            if stamp != self._stamp:
                self._expiry = self._read(read_regular(self._path, MOST_BYTES))
                self._stamp = stamp
            self._failure = ""
        except Exception as error:  # whatever the file holds: it fails no scrape
            self._report(one_line(getattr(error, "strerror", None) or str(error)))
        return self._expiry

    def _report(self, failure: str) -> None:
        if failure != self._failure:
            _log.warning(
                "%s=%s: its certificates cannot be read (%s), so only what was known of their expiry remains. Name a "
                "file that this process may read, with certificates in PEM form.",
                self._setting,
                self._path,
                failure,
            )
        self._failure = failure


def chain_expiry(content: bytes) -> float:
    """Read when the first of the certificates expires; keys beside them are skipped. Raises ValueError without any."""
    from cryptography import x509  # not loaded where no file is named

    return min(one.not_valid_after_utc.timestamp() for one in x509.load_pem_x509_certificates(content))


def _of_authorities(content: bytes) -> float:
    """Read when the last one expires. An old one of many may break rules of today. Raises ValueError without any."""
    found = []
    for pem in _CERTIFICATE.findall(content):
        with contextlib.suppress(ValueError):
            found.append(chain_expiry(pem))
    if not found:
        raise ValueError("no certificate in it can be read")
    return max(found)
