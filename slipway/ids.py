"""Identifiers: UUIDv7 and row ids."""

from __future__ import annotations

import os
import re
import time

# The first digit is below 8 until the year 6429: a text with another one is no id, and its time is no datetime.
ROW_ID = r"[0-7][0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}-[0-9]{1,6}"
_UUID7 = re.compile(r"([0-7][0-9a-f]{7})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(-[0-9]+)?")


def uuid7() -> str:
    """Create a UUID of version 7 (RFC 9562, section 5.7): milliseconds since 1970, then 74 random bits."""
    moment, chance = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10)
    text = chance.hex()
    return f"{moment[:8]}-{moment[8:]}-7{text[:3]}-{'89ab'[chance[9] & 3]}{text[3:6]}-{text[6:18]}"


def made_ms(id: str) -> int | None:
    """Return when a request or row id was made, in milliseconds since 1970; None for any other text.

    >>> made_ms("019c1000-0000-7000-8000-000000000000-0")
    1769811804160
    """
    found = _UUID7.fullmatch(id)
    return int(found[1] + found[2], 16) if found else None


def row_id(request: str, index: int) -> str:
    """Name a row by its request's UUID and its position in it."""
    return f"{request}-{index}"
