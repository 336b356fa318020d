"""Timestamps as text: ISO 8601 in UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def now_iso() -> str:
    second, micro = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_second(second)}.{micro:06}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
