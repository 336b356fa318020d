"""Identifiers: UUIDv7 and row ids."""

from __future__ import annotations

import os
import time


def uuid7() -> str:
    """Create a UUID of version 7 (RFC 9562, section 5.7): milliseconds since 1970, then 74 random bits."""
    moment, chance = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10)
    text = chance.hex()
    return f"{moment[:8]}-{moment[8:]}-7{text[:3]}-{'89ab'[chance[9] & 3]}{text[3:6]}-{text[6:18]}"


def row_id(request: str, index: int) -> str:
    """Name a row by its request's UUID and its position in it."""
    return f"{request}-{index}"
