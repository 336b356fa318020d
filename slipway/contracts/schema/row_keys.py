"""Keys of rows and their side of the split, for training and serving alike."""

from __future__ import annotations

import hashlib
import re
from binascii import hexlify
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from slipway.contracts.schema.canonical_json import canonical, encode
from slipway.contracts.schema.model import Schema

BUCKETS = 10_000
_KEY_BYTES = 16
_BLOCK_BYTES = 64
_WHOLE = re.compile(rb"\.0[,}]")


def key_text(row: Mapping[str, Any], schema: Schema) -> str:
    """Write what identifies a cleaned, masked row: its `split.key` columns, else the values of the model's inputs.

    Canonical JSON: sorted names, absent and null alike, no target; an image is the digest of its decoded pixels.
    Tokens do not count: they differ from one secret to another, and the split must be the same everywhere.
    """
    values = {}
    for name in schema.key_names:
        value = row.get(name)
        if value.__class__ is not float or value.is_integer() or value != value:  # a fraction is canonical as it is
            value = canonical(value)
        if value is not None:
            values[name] = value
    return encode(values).decode()


def row_key(secret: bytes, text: str) -> str:
    """Compute the pseudonym of a row: 128 bits of HMAC-SHA256 over its key's text, in hexadecimal."""
    return _keyed(secret, [text.encode()])[0].decode()


def bucket(salt: str, text: str) -> int:
    """Compute the row's bucket, 0 to 9999, from the salt and its key's text: without a secret, so everywhere alike."""
    return _salted(salt, [text.encode()])[0]


def side(number: int, fractions: Mapping[str, float]) -> str:
    """Assign a bucket to `holdout`, which has the lowest ones, `validation` or `train`."""
    holdout = round(fractions["holdout"] * BUCKETS)
    if number < holdout:
        return "holdout"
    return "validation" if number < holdout + round(fractions["validation"] * BUCKETS) else "train"


class RowKeyer:
    """Computes `row_key` and `bucket` of the rows of one schema, thousands a second, as a server needs them.

    `split.key` may name columns that are no features; groups and time divide rows by what a request does not hold.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._salt = schema.split.salt
        self._divided_by_key = schema.split.group is None and schema.split.time is None

    def of_row(self, secret: bytes, row: Mapping[str, Any]) -> tuple[bytes | None, int | None]:
        """Compute key and bucket of a masked row with its images decoded; None if the row lacks values of its key."""
        if not self._schema.told_by_row:
            return None, None
        return self.of_texts(secret, [key_text(row, self._schema).encode()])[0]

    def of_texts(self, secret: bytes, texts: Sequence[bytes]) -> list[tuple[bytes | None, int | None]]:
        """Compute key and bucket from each row's `key_text`."""
        keys = _keyed(secret, texts)
        if self._divided_by_key:
            return list(zip(keys, _salted(self._salt, texts), strict=True))
        return [(key, None) for key in keys]


def is_canonical(texts: bytes) -> bool:
    """Whether rows' JSON, sorted, of JSON's own types and without nulls, is their `key_text`: no float is whole. False
    where that would take a closer look."""
    return _WHOLE.search(texts) is None


def _keyed(secret: bytes, texts: Sequence[bytes]) -> list[bytes]:
    padded, found = _hmac(secret), []
    for text in texts:
        inner, outer = padded[0].copy(), padded[1].copy()
        inner.update(text)
        outer.update(inner.digest())
        found.append(hexlify(outer.digest()[:_KEY_BYTES]))
    return found


def _salted(salt: str, texts: Sequence[bytes]) -> list[int]:
    salted, found = _sha256(salt), []
    for text in texts:
        digest = salted.copy()
        digest.update(text)
        found.append(int.from_bytes(digest.digest()[:8], "big") % BUCKETS)
    return found


@lru_cache(maxsize=8)
def _hmac(secret: bytes) -> tuple[Any, Any]:
    """HMAC-SHA256 (RFC 2104) with the key taken in, to copy for each row: the standard library's own copy costs more
    than the hash."""
    block = (secret if len(secret) <= _BLOCK_BYTES else hashlib.sha256(secret).digest()).ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    return inner, outer


@lru_cache(maxsize=8)
def _sha256(salt: str) -> Any:
    return hashlib.sha256(f"{salt}\0".encode())
