"""Masking of private values, before anything else reads the row."""

from __future__ import annotations

import bisect
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from slipway.contracts.schema.canonical_json import text_of
from slipway.contracts.schema.model import Schema

_TOKEN = re.compile(r"^tok_[0-9a-f]{32}$")


def mask(row: Mapping[str, Any], schema: Schema, secret: bytes) -> dict[str, Any]:
    """Drop a row's private values, or replace them by tokens or buckets; a masked row stays as it is.

    A token is `tok_` and 128 bits of HMAC-SHA256 over the feature's name and the value.
    """
    masked = dict(row)
    for feature in schema.masked:
        value = masked.get(feature.name)
        if feature.private == "drop":
            masked.pop(feature.name, None)
        elif value is None or value != value:
            continue
        elif feature.private == "token":
            masked[feature.name] = _token(feature.name, value, secret)
        elif not isinstance(value, str):
            assert feature.bins and feature.vocabulary
            masked[feature.name] = feature.vocabulary[bisect.bisect_right(feature.bins, value)]
    return masked


def _token(name: str, value: Any, secret: bytes) -> str:
    text = text_of(value)
    if _TOKEN.match(text):
        return text
    return "tok_" + hmac.new(secret, f"{name}={text}".encode(), hashlib.sha256).hexdigest()[:32]
