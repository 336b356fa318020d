"""Secrets of an installation, as objects."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any


def secret(name: str, values: Mapping[str, bytes]) -> dict[str, Any]:
    """Build a Secret with these values."""
    data = {key: base64.b64encode(value).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
