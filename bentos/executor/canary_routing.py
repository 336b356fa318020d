"""Choice: whether the canary answers a request. The same unit gets the same answerer, on every worker and machine."""

from __future__ import annotations

from hashlib import blake2b

from bentos.request import Scope

UNIT = b"x-slipway-unit"


def chosen(version: str, unit: bytes, weight: float) -> bool:
    """Whether the canary `version` with `weight` percent answers `unit`.

    A unit keeps its place between 0 and 100 for as long as the version is the canary: who has it at 5 % has it at 25 %.
    Another version deals the places anew, so that not always the same units go first.

    >>> [chosen("7", b"ann", weight) for weight in (0, 25, 70, 100)]
    [False, False, True, True]
    """
    return place(version, unit) < weight


def place(version: str, unit: bytes) -> float:
    """From 0 up to, but not, 100, evenly over the units."""
    digest = blake2b(b"%b\0%b" % (version.encode(), unit), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53 * 100  # 53 bits, as a float has them: 100 itself is never reached


def unit_of(scope: Scope, uuid: str) -> bytes:
    """What is kept together: the caller's X-Slipway-Unit (a user, a shop), else this request alone."""
    for name, value in scope["headers"]:
        if name == UNIT and value:
            return value
    return uuid.encode()
