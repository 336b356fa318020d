"""A caller: what a valid credential stands for. Made when a key file is read or a token verified, never per request."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable
from dataclasses import dataclass

from bentos.auth.rate_limits import Limit
from bentos.auth.scopes import ADMIN, opened
from slipway.errors import SlipwayError


class InvalidToken(SlipwayError):
    """What is wrong with a token, for its sender to read; holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Principal:
    """`mask` is what events hold of the credential; `expires` is in seconds since 1970."""

    name: str
    scopes: frozenset[str]
    routes: frozenset[str]
    mask: str
    expires: float = math.inf
    limit: Limit | None = None

    def may(self, route: str) -> bool:
        return route in self.routes or ADMIN in self.scopes


def principal(
    name: str, scopes: Iterable[str], identity: str, secret: bytes, rate: str = "", expires: float = math.inf
) -> Principal:
    """`identity` tells this credential from all others: a key's digest, a token's issuer and subject."""
    held = frozenset(scopes)
    mask = hmac.new(secret, f"caller={identity}".encode(), hashlib.sha256).hexdigest()[:32]
    return Principal(name, held, opened(held), mask, expires, Limit.of(rate, mask) if rate else None)
