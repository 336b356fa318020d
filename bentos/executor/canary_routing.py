"""Canary routing: whether the canary answers a request. A unit is routed alike on every worker and machine.

Callers choose their units, so the position of a unit depends on a secret of the rollout: nobody can compute which units
the canary answers.
"""

from __future__ import annotations

from hashlib import blake2b

from bentos.request import Scope

UNIT_HEADER = b"x-slipway-unit"


def routes_to_canary(version: str, unit: bytes, weight: float, salt: bytes = b"") -> bool:
    """Return whether the canary `version` with `weight` percent of the traffic answers `unit`.

    A unit keeps its bucket for as long as the rollout lasts: who has it at 5 % has it at 25 %. Another version, or
    another rollout, which has another `salt`, deals the buckets anew, so that not always the same units go first.

    >>> [routes_to_canary("7", b"ann", weight) for weight in (0, 25, 70, 100)]
    [False, False, True, True]
    """
    return bucket(version, unit, salt) < weight


def bucket(version: str, unit: bytes, salt: bytes = b"") -> float:
    """Hash a unit to a number from 0 up to, but not including, 100; units are spread evenly."""
    digest = blake2b(b"%b\0%b" % (version.encode(), unit), digest_size=8, key=salt).digest()
    return (int.from_bytes(digest) >> 11) / 2**53 * 100  # 53 bits, as a float has them: 100 itself is never reached


def routing_unit(scope: Scope, uuid: str) -> bytes:
    """Return what is routed together: the client's X-Slipway-Unit (a user, a shop), else this request alone."""
    for name, value in scope["headers"]:
        if name == UNIT_HEADER and value:
            return value
    return uuid.encode()
