"""The gate: every request passes here before anything of it is read but its head."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable
from hashlib import sha256
from typing import TYPE_CHECKING

from bentos.auth import audit_log
from bentos.auth.api_keys import KeyRing
from bentos.auth.principal import InvalidToken, Principal
from bentos.auth.rate_limits import FixedWindowCounter, Limit, WindowCount
from bentos.auth.scopes import needed, open_routes
from bentos.errors import Header, Refused, Unavailable
from bentos.request import RequestContext, Scope
from slipway.api_keys import PREFIX
from slipway.settings import Settings

if TYPE_CHECKING:
    from bentos.auth.jwt import TokenVerifier
    from bentos.auth.redis_rate_limits import RedisWindowCounter

LOOK_SECONDS = 0.25  # between two looks at the key file
_KEY = PREFIX.encode()
_CHALLENGE = b'Bearer realm="slipway"'


class Authenticator:
    """Lets a request pass, notes its caller and its limit in the head, or refuses it with an audit line.

    Raises:
        SettingsError: the key file is broken, or the source of tokens' keys is not safe.
    """

    def __init__(self, settings: Settings, secret: bytes) -> None:
        self._environment = settings.environment
        self._ring = KeyRing(settings.key_file, secret, settings.rate)
        self._tokens = _tokens(settings, secret) if settings.jwt_jwks else None
        self._open = open_routes(settings)
        self._windows = FixedWindowCounter()
        redis = settings.redis_url
        self._shared = _shared(redis.get_secret_value(), self._windows) if redis else None
        self._look_at = 0.0
        if self._tokens is not None:
            self._tokens.jwks.read_soon()
        audit_log.set_up()

    def close(self) -> None:
        if self._tokens is not None:
            self._tokens.jwks.close()

    def admit(self, head: RequestContext, route: str, scope: Scope) -> Awaitable[None] | None:
        """Let pass or refuse; what comes back, if anything, is to be awaited first.

        Raises:
            Refused: 401, 403 or 429.
            Unavailable: a token cannot be checked now.
        """
        now = self._now()
        if route in self._open or not (self._ring.present or self._tokens):
            return None
        credential = head.credential
        digest = sha256(credential).digest()
        caller = self._ring.callers.get(digest)
        if caller is None:
            if self._tokens is None or not credential or credential.startswith(_KEY):
                raise self._unknown(head, scope)
            try:
                caller = self._tokens.known(digest)
            except Unavailable:
                return self._verified(head, route, scope, digest)
            if caller is None:
                return self._verified(head, route, scope, digest)
        return self._pass(caller, head, route, scope, now)

    def admit_at_once(self, head: RequestContext, route: str) -> bool:
        """Let pass who has a key that is known, valid and within its rate; ask `admit` about everybody else."""
        now = self._now()
        if route in self._open or not (self._ring.present or self._tokens):
            return True
        head.digest = head.digest or sha256(head.credential).digest()
        caller = self._ring.callers.get(head.digest)
        if caller is None or self._shared is not None or now >= caller.expires or not caller.may(route):
            return False
        head.caller = caller.mask
        if caller.limit is None:
            return True
        count = self._windows.take(caller.limit, now)
        if count is None:
            return False
        head.rate_limit_headers = count.lines
        return True

    def _now(self) -> float:
        """The time; the key file is looked at where that is due."""
        now = time.time()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._ring.look()
        return now

    async def _verified(self, head: RequestContext, route: str, scope: Scope, digest: bytes) -> None:
        """The way of a token that is seen for the first time, or while its issuer's keys are unknown."""
        assert self._tokens is not None
        try:
            if not self._tokens.jwks.known():
                await self._tokens.read_keys()
            caller = self._tokens.known(digest) or await self._tokens.verify(head.credential, digest)
        except InvalidToken as error:
            raise self._refusal(head, scope, 401, str(error), error="invalid_token") from None
        except Unavailable as error:
            audit_log.refused(head, scope, self._environment, 503, str(error), None, None)
            raise
        waits = self._pass(caller, head, route, scope, time.time())
        if waits is not None:
            await waits

    def _pass(
        self, caller: Principal, head: RequestContext, route: str, scope: Scope, now: float
    ) -> Awaitable[None] | None:
        if now >= caller.expires:
            raise self._refusal(head, scope, 401, "the credential has expired.", caller, error="invalid_token")
        if not caller.may(route):
            scopes = needed(route)
            detail = f"the scope {' or '.join(scopes)} is needed here, and this credential does not have it."
            raise self._refusal(
                head, scope, 403, detail, caller, error="insufficient_scope", more=f', scope="{" ".join(scopes)}"'
            )
        head.caller = caller.mask
        limit = caller.limit
        if limit is None:
            return None
        if self._shared is not None:
            return self._count_shared(caller, limit, head, scope, now)
        self._count(self._windows.hit(limit, now), caller, limit, head, scope)
        return None

    async def _count_shared(
        self, caller: Principal, limit: Limit, head: RequestContext, scope: Scope, now: float
    ) -> None:
        assert self._shared is not None
        self._count(await self._shared.hit(limit, now), caller, limit, head, scope)

    def _count(self, count: WindowCount, caller: Principal, limit: Limit, head: RequestContext, scope: Scope) -> None:
        head.rate_limit_headers = count.lines
        if count.used > limit.amount:
            detail = f"more than {limit.amount} requests in {limit.seconds} s came with this credential."
            self._note(head, scope, 429, detail, caller)
            raise Refused(detail, 429, [(b"retry-after", b"%d" % math.ceil(count.reset))])

    def _unknown(self, head: RequestContext, scope: Scope) -> Refused:
        if head.credential:
            detail = "this API key is not known here: it is wrong, or was revoked."
            return self._refusal(head, scope, 401, detail, error="invalid_token")
        detail = "a credential is needed: an API key or a bearer token, as `Authorization: Bearer …` or `X-API-Key: …`."
        return self._refusal(head, scope, 401, detail)

    def _refusal(
        self,
        head: RequestContext,
        scope: Scope,
        status: int,
        detail: str,
        caller: Principal | None = None,
        error: str = "",
        more: str = "",
    ) -> Refused:
        """With the challenge of RFC 6750, section 3."""
        self._note(head, scope, status, detail, caller)
        challenge: Header = (b"www-authenticate", _CHALLENGE + (f', error="{error}"{more}'.encode() if error else b""))
        return Refused(detail, status, [challenge])

    def _note(self, head: RequestContext, scope: Scope, status: int, reason: str, caller: Principal | None) -> None:
        name, mask = (caller.name, caller.mask) if caller else (None, None)
        audit_log.refused(head, scope, self._environment, status, reason, name, mask)


def _tokens(settings: Settings, secret: bytes) -> TokenVerifier:
    """Imported where there are tokens: the libraries for them take 0.1 s, and so does Redis's."""
    from bentos.auth.jwt import TokenVerifier

    return TokenVerifier(settings, secret)


def _shared(url: str, local: FixedWindowCounter) -> RedisWindowCounter:
    from bentos.auth.redis_rate_limits import RedisWindowCounter

    return RedisWindowCounter(url, local)
