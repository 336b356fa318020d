"""Wall clock that decides whether a credential has expired: setting the machine's clock back revives none.

Spans of time (rate limits, looks at the key file, waits before a retry) are measured by `time.monotonic`. An expiry is
a time of day, so it is compared with the later one of the machine's clock, which may be corrected forward, and of the
time that has passed since this process began.
"""

from __future__ import annotations

import time

_STARTED = time.time() - time.monotonic()


def wall_time() -> float:
    """Return the seconds since 1970."""
    return max(time.time(), _STARTED + time.monotonic())
