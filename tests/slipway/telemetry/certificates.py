"""Certificates of any expiry, signed by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

NOW = datetime.now(UTC).replace(microsecond=0)
KEY = Ed25519PrivateKey.generate()


def certificate(days: float) -> x509.Certificate:
    """A certificate that expires so many days after NOW."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "slipway.example.com")])
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), x509.random_serial_number())
    started = NOW - timedelta(days=900)
    return builder.not_valid_before(started).not_valid_after(NOW + timedelta(days=days)).sign(KEY, None)


def pem(*days: float) -> bytes:
    """Certificates in PEM form, one after the other."""
    return b"".join(certificate(one).public_bytes(Encoding.PEM) for one in days)


def at(days: float) -> float:
    """That time in seconds since 1970."""
    return (NOW + timedelta(days=days)).timestamp()
