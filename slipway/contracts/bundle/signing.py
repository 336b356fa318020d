"""Signatures of bundles: Ed25519 (RFC 8032) over the manifest's bytes, in base64 in `manifest.sig`.

The manifest has every file's sha256, so its signature is the bundle's. Training signs where SLIPWAY_SIGNING_KEY is set;
where SLIPWAY_TRUSTED_KEYS is, nothing else is served. `openssl genpkey -algorithm ed25519` makes a key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contracts.bundle import manifest as bundle
from slipway.errors import BundleError, SettingsError
from slipway.settings import settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sign(directory: Path) -> bool:
    """Sign the bundle with this machine's key; returns False if there is none.

    Raises:
        SettingsError: SLIPWAY_SIGNING_KEY names no Ed25519 private key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = settings().signing_key
    if path is None:
        return False
    key = _key(path, "SLIPWAY_SIGNING_KEY", lambda pem: load_pem_private_key(pem, None), Ed25519PrivateKey)
    signature = key.sign((directory / bundle.MANIFEST).read_bytes())
    (directory / bundle.SIGNATURE).write_bytes(base64.b64encode(signature) + b"\n")
    return True


def require(directory: Path, manifest: bytes | None = None) -> None:
    """Check the signature against the trusted keys, if there are any.

    The manifest's bytes are to be checked against the digest before, the files against the manifest. `manifest` are
    those bytes, where they were read already.

    Raises:
        BundleError: none of the trusted keys has signed the bundle.
        SettingsError: SLIPWAY_TRUSTED_KEYS names a file that is no Ed25519 public key.
    """
    keys = trusted(settings().trusted_keys)
    if not keys:
        return
    signature = _signature(directory / bundle.SIGNATURE)
    manifest = manifest or (directory / bundle.MANIFEST).read_bytes()
    if not any(_signed_by(key, signature, manifest) for key in keys):
        raise BundleError(
            f"{bundle.SIGNATURE} is of none of the {len(keys)} keys in SLIPWAY_TRUSTED_KEYS, or of another manifest: "
            "have the bundle signed with a key that is trusted here, or add its public key."
        )


def trusted(paths: Sequence[Path]) -> list[Ed25519PublicKey]:
    """Read public keys from PEM files.

    Raises:
        SettingsError: one is not there, or is no Ed25519 public key.
    """
    if not paths:
        return []
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return [_key(path, "SLIPWAY_TRUSTED_KEYS", load_pem_public_key, Ed25519PublicKey) for path in paths]


def _signature(path: Path) -> bytes:
    what = "SLIPWAY_TRUSTED_KEYS is set, so only signed bundles are served"
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"it has no {bundle.SIGNATURE}, and {what}: train it where SLIPWAY_SIGNING_KEY is set.")
    if path.stat().st_size > bundle.LIMITS[bundle.SIGNATURE]:
        raise BundleError(f"{bundle.SIGNATURE} has {path.stat().st_size} bytes: it is no signature, and {what}.")
    try:
        return base64.b64decode(path.read_bytes().strip(), validate=True)
    except binascii.Error as error:
        raise BundleError(f"{bundle.SIGNATURE} is not base64 ({error}), and {what}.") from None


def _signed_by(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _key(path: Path, variable: str, load: Callable[[bytes], Any], kind: type) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    if not path.exists():
        raise SettingsError(f"the key file {path} ({variable}) is not there: mount the secret that holds it.")
    try:
        key = load(path.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it is encrypted
        raise SettingsError(f"{variable}={path} cannot be read as a PEM key: {error}") from None
    if not isinstance(key, kind):
        raise SettingsError(f"{variable}={path} is {type(key).__name__}, an Ed25519 key is needed.")
    return key
