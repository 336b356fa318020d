"""Principal: the client that a valid credential identifies. Made when keys are read or a token is verified."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable
from dataclasses import dataclass

from bentos.auth.clock import wall_time
from bentos.auth.rate_limits import ROWS, Limit
from bentos.auth.scopes import ADMIN, allowed_routes
from slipway.errors import SlipwayError


class InvalidToken(SlipwayError):
    """A token is not valid; the message is for its sender and holds no part of the token."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A client with its scopes, the routes that they allow, and its use cases (None: all of them).

    `mask` is the pseudonym that events hold; `expires` is in seconds since 1970 (bentos.auth.clock).
    """

    name: str
    scopes: frozenset[str]
    routes: frozenset[str]
    mask: str
    expires: float = math.inf
    limit: Limit | None = None
    row_limit: Limit | None = None
    usecases: frozenset[str] | None = None

    def has_expired(self) -> bool:
        return self.expires < math.inf and wall_time() >= self.expires

    def may(self, route: str) -> bool:
        return route in self.routes or ADMIN in self.scopes

    def may_use(self, usecase: str) -> bool:
        """Tell whether this client may use, and know of, a use case; `""` is none: a route that names none."""
        return self.usecases is None or usecase in self.usecases or not usecase


def make_principal(
    name: str,
    scopes: Iterable[str],
    identity: str,
    secret: bytes,
    *,
    usecases: Iterable[str] | None,
    rate: str,
    rows: str,
    expires: float,
) -> Principal:
    """Make a principal; `identity` is unique to the credential: a key's digest, or a token's issuer and subject."""
    held = frozenset(scopes)
    mask = hmac.new(secret, f"caller={identity}".encode(), hashlib.sha256).hexdigest()[:32]
    return Principal(
        name,
        held,
        allowed_routes(held),
        mask,
        expires,
        Limit.of(rate, mask) if rate else None,
        Limit.of(rows, mask, ROWS) if rows else None,
        None if usecases is None else frozenset(usecases),
    )
