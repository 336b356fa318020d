"""OAuth 2 bearer tokens: JSON Web Tokens (RFC 7519, 9068) of one issuer for one audience, each verified once."""

from __future__ import annotations

import asyncio
from typing import Any

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from bentos.auth.clock import wall_time
from bentos.auth.jwks import TIMEOUT_SECONDS, Jwks
from bentos.auth.principal import InvalidToken, Principal, make_principal
from bentos.errors import Unavailable
from slipway.api_keys import SCOPES
from slipway.settings import Settings

LEEWAY_SECONDS = 30
_MAX_BYTES = 8192
_MAX_CACHED = 10_000
_USECASES = "usecases"  # the claim of a token that is for some use cases


class UnknownKey(InvalidToken):
    """The token is signed with a key that is not among those read from the issuer last."""


class TokenVerifier:
    """Verifies tokens: `known` finds verified ones, `verify` takes about 100 µs, and longer if a key is new."""

    def __init__(self, settings: Settings, secret: bytes) -> None:
        self.jwks = Jwks(settings.jwt_jwks, settings.jwks_outage_seconds)
        self._secret, self._rate, self._rows = secret, settings.rate, settings.rows
        self._registry = JWSRegistry(algorithms=settings.jwt_algorithms, strict_check_header=False)
        self._algorithms = settings.jwt_algorithms
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(wall_time()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": settings.jwt_issuer},
            aud={"essential": True, "value": settings.jwt_audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        self._verified: dict[bytes, Principal] = {}
        self._generation = 0

    def known(self, digest: bytes) -> Principal | None:
        """Return the principal of a token that was verified before; cached until the issuer's keys change.

        Raises:
            Unavailable: the issuer's keys are not known, or too old.
        """
        if not self.jwks.known():
            raise self._outage()
        if self._generation != self.jwks.generation:
            self._generation = self.jwks.generation
            self._verified = {}
        return self._verified.get(digest)

    async def verify(self, token: bytes, digest: bytes) -> Principal:
        """Verify a token, and read the issuer's keys again if its key is new.

        Raises:
            InvalidToken: signature or claims are not valid, or the token has expired.
            Unavailable: the token's key may be new, and the issuer does not respond.
        """
        try:
            return self._verify(token, digest)
        except UnknownKey:
            await self.read_keys()
            if self.jwks.problem:
                raise self._outage() from None
            return self._verify(token, digest)

    async def read_keys(self) -> None:
        """Read the issuer's keys, and wait for that for TIMEOUT_SECONDS at most."""
        reading = self.jwks.start_reading()
        if reading is not None:
            await asyncio.wait([asyncio.wrap_future(reading)], timeout=TIMEOUT_SECONDS)

    def _verify(self, token: bytes, digest: bytes) -> Principal:
        if len(token) > _MAX_BYTES:
            raise InvalidToken(f"the token is longer than {_MAX_BYTES} bytes.")
        try:
            claims = jwt.decode(token, self._key, self._algorithms, self._registry).claims
            self._claims.validate(claims)
            expires = float(claims["exp"]) + LEEWAY_SECONDS
        except ExpiredTokenError:
            raise InvalidToken("the token has expired.") from None
        except (InvalidClaimError, MissingClaimError) as error:
            raise InvalidToken(f"the token's claims are not valid: {error.description}") from None
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            raise InvalidToken("the token has no valid signature of an allowed algorithm.") from None
        verified = make_principal(
            str(claims["sub"]),
            _scopes(claims),
            f"{claims['iss']}\0{claims['sub']}",
            self._secret,
            usecases=_usecases(claims),
            rate=self._rate,
            rows=self._rows,
            expires=expires,
        )
        if len(self._verified) >= _MAX_CACHED:
            self._verified = {}
        self._verified[digest] = verified
        return verified

    def _key(self, signature: Any) -> Key:
        keys, header = self.jwks.keys, signature.headers()
        if "kid" not in header and len(keys) == 1:
            return next(iter(keys.values()))
        key = keys.get(str(header.get("kid")))
        if key is None:
            raise UnknownKey("the token is signed with a key that its issuer does not publish.")
        return key

    def _outage(self) -> Unavailable:
        """Say no more than that to who has no credential yet: where the keys are, and why not, is in the log."""
        return Unavailable(
            "bearer tokens cannot be verified now: their issuer's public keys cannot be read. API keys still work.",
            retry_after=5,
        )


def _scopes(claims: dict[str, Any]) -> list[str]:
    """Read `scope` (RFC 8693, one string) or `scp` (a string or a list); scopes of other services are ignored."""
    found = claims.get("scope", claims.get("scp", ""))
    names = found.split() if isinstance(found, str) else [str(name) for name in found or ()]
    return [name for name in names if name in SCOPES]


def _usecases(claims: dict[str, Any]) -> list[str] | None:
    """Read `usecases`, a list or a string with spaces, as scopes are; None, all of them, only where there is none.

    Raises:
        InvalidToken: it is something else, from which nobody can tell what its issuer meant to allow.
    """
    if _USECASES not in claims:
        return None
    found = claims[_USECASES]
    names = found.split() if isinstance(found, str) else found
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidToken(f"the token's claim {_USECASES} is no list of names, nor one string of them.")
    return names
