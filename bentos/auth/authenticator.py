"""Authenticator: admits or refuses every request by its headers, before its body is read."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

from bentos.auth.api_keys import KeyRing
from bentos.auth.audit_log import AuditLog
from bentos.auth.principal import InvalidToken, Principal
from bentos.auth.rate_limits import FixedWindowCounter, Limit, WindowCount
from bentos.auth.scopes import open_routes, required_scopes
from bentos.errors import Refused, Unavailable
from bentos.request import RequestContext, Scope
from slipway.api_keys import PREFIX
from slipway.credentials import credentials_required, record_keys
from slipway.errors import InputError
from slipway.same_origin import SameOriginCheck
from slipway.settings import Settings
from slipway.telemetry.credentials import API_KEY, TOKEN_KEYS

if TYPE_CHECKING:
    from bentos.auth.jwt import TokenVerifier
    from bentos.auth.redis_rate_limits import RedisWindowCounter

REFRESH_SECONDS = 0.25  # between two checks of the key file
_KEY_PREFIX = PREFIX.encode()
_SCHEME = 'Bearer realm="slipway"'
_INVALID = 'error="invalid_token"'


class Authenticator:
    """Admits a request and notes principal and rate limit in its context, or refuses it with a line of the audit log.

    Raises:
        SettingsError: the key file is broken, or the URL of the tokens' public keys is not safe.
    """

    def __init__(self, settings: Settings, secret: bytes) -> None:
        self._settings = settings
        self.audit_log = AuditLog()
        outage, rate, rows = settings.keys_outage_seconds, settings.rate, settings.rows
        self._ring = KeyRing(settings.key_file, secret, outage, rate=rate, rows=rows)
        self._required = False
        self._tokens = _token_verifier(settings, secret) if settings.jwt_jwks else None
        self._open = open_routes(settings)
        self._same_origin = SameOriginCheck(settings.host, settings.allowed_hosts, settings.cors_origins)
        self._local_counter = FixedWindowCounter()
        redis = settings.redis_url
        self._shared_counter = _redis_counter(redis.get_secret_value(), self._local_counter) if redis else None
        self._refresh_at = -math.inf
        self._check_required()
        if self._tokens is not None:
            self._tokens.jwks.start_reading()

    def expiries(self) -> dict[tuple[str, str], float | None]:
        """Return when credentials that this worker accepts expire, by their kind and the setting that names them."""
        found = {(API_KEY, "SLIPWAY_KEYS"): self._ring.next_end()}
        if self._tokens is not None:
            found[TOKEN_KEYS, "SLIPWAY_JWT_JWKS"] = self._tokens.jwks.expiry
        return found

    def close(self) -> None:
        self._ring.close()
        self.audit_log.flush(ended=False)
        if self._tokens is not None:
            self._tokens.jwks.close()

    def admit(self, context: RequestContext, route: str, scope: Scope, usecase: str) -> Awaitable[None] | None:
        """Admit the request or refuse it. An awaitable that is returned must be awaited first, and raises the same.

        `usecase` is the one that the path names, served or not; `""` where it names none.

        Raises:
            Refused: 401, 403 or 429.
            Unavailable: a token cannot be verified now.
        """
        now = self._monotonic()
        if not self._required:
            self._require_same_origin(context, scope)
            return None
        if route in self._open:
            return None
        credential = context.credential
        digest = sha256(credential).digest()
        principal = self._ring.principals.get(digest)
        if principal is None:
            if self._ring.problem and credential.startswith(_KEY_PREFIX):
                raise self._unknown_keys(context, scope, self._ring.problem)
            if self._tokens is None or not credential or credential.startswith(_KEY_PREFIX):
                raise self._missing_or_unknown(context, scope)
            try:
                principal = self._tokens.known(digest)
            except Unavailable:
                return self._admit_token(context, route, scope, usecase, digest)
            if principal is None:
                return self._admit_token(context, route, scope, usecase, digest)
        return self._authorize(principal, context, route, scope, usecase, now)

    def admit_at_once(self, context: RequestContext, route: str, usecase: str) -> bool:
        """Admit a request with a known, valid API key within its rate; False, uncounted, leaves it to `admit`.

        So are keys with a limit of rows: the body is not looked at here.
        """
        now = self._monotonic()
        if not self._required:
            return self._same_origin.refusal(context.host, context.origin) is None
        if route in self._open:
            return True
        context.digest = context.digest or sha256(context.credential).digest()
        principal = self._ring.principals.get(context.digest)
        if principal is None or self._shared_counter is not None:
            return False
        if principal.has_expired() or not principal.may(route) or principal.row_limit is not None:
            return False
        if principal.usecases is not None and usecase not in principal.usecases:
            return False
        context.caller = principal.mask
        if principal.limit is None:
            return True
        count = self._local_counter.hit_within(principal.limit, now)
        if count is None:
            return False
        context.rate_limit_headers = count.lines
        return True

    async def may_see_details(self, context: RequestContext) -> bool:
        """Tell whether the client may see what is for operators: paths, process ids, reasons. It is not counted.

        Without credentials, that is everybody who is served at all.
        """
        self._monotonic()
        if not self._required:
            return True
        principal = await self._find_principal(context)
        if principal is None or principal.has_expired() or not principal.may("details"):
            return False
        context.principal = principal
        return True

    def visible(self, context: RequestContext, usecases: Iterable[str]) -> list[str]:
        """Return those of the use cases that the client may know of: all, unless its credential is for some."""
        principal: Principal | None = context.principal
        return [name for name in usecases if principal is None or principal.may_use(name)]

    def limits_rows(self, context: RequestContext) -> bool:
        """Tell whether the rows of this admitted request must be counted, by `charge_rows`."""
        return context.principal is not None and context.principal.row_limit is not None

    async def charge_rows(self, context: RequestContext, scope: Scope, rows: int, place: str) -> None:
        """Count the rows of an admitted request, which `place` holds, against the limit of its credential.

        Raises:
            InputError: 413 for more than the credential may ever send at once.
            Refused: 429 for more than is left; none of them is counted.
        """
        if not self.limits_rows(context):
            return
        principal: Principal = context.principal
        limit, now = principal.row_limit, time.monotonic()
        assert limit is not None
        if rows > limit.amount:
            detail = f"{rows} rows received, at most {limit.amount} are possible: {_limited(limit)}"
            self._log(context, scope, 413, detail, principal)
            raise InputError(f"{detail} Send several requests.", place, 413)
        if self._shared_counter is not None:
            count = await self._shared_counter.charge(limit, rows, now)
        else:
            count = self._local_counter.charge(limit, rows, now)
        context.rate_limit_headers += count.lines
        if count.refused:
            detail = f"{_limited(limit)} {rows} received, {max(limit.amount - count.used, 0)} left."
            raise self._over_limit(count, detail, principal, context, scope)

    async def _find_principal(self, context: RequestContext) -> Principal | None:
        digest = sha256(context.credential).digest()
        principal = self._ring.principals.get(digest)
        if principal or self._tokens is None or not context.credential or context.credential.startswith(_KEY_PREFIX):
            return principal
        try:
            return await _verified(self._tokens, context.credential, digest)
        except (InvalidToken, Unavailable):
            return None

    def _monotonic(self) -> float:
        """Return the monotonic time; the key file is checked where that is due."""
        now = time.monotonic()
        if now >= self._refresh_at:
            self._refresh_at = now + REFRESH_SECONDS
            self._ring.refresh()
            if not self._required or self._ring.principals:
                self._check_required()
        return now

    def _check_required(self) -> None:
        """Ask for credentials from the first key on, for good: nothing that is lost later makes requests anonymous."""
        if self._ring.principals:
            record_keys(self._settings)
        self._required = self._required or credentials_required(self._settings)

    def _require_same_origin(self, context: RequestContext, scope: Scope) -> None:
        """Refuse what a web page of another site sends: without credentials, its visitor's browser is let in."""
        refusal = self._same_origin.refusal(context.host, context.origin)
        if refusal is not None:
            self._log(context, scope, 403, refusal)
            raise Refused(refusal, 403, [])

    async def _admit_token(
        self, context: RequestContext, route: str, scope: Scope, usecase: str, digest: bytes
    ) -> None:
        """Admit a token that was not verified before, or whose issuer's keys are not known yet."""
        assert self._tokens is not None
        try:
            principal = await _verified(self._tokens, context.credential, digest)
        except InvalidToken as error:
            raise self._refusal(context, scope, 401, str(error), challenge=_INVALID) from None
        except Unavailable as error:
            self._log(context, scope, 503, str(error))
            raise
        pending = self._authorize(principal, context, route, scope, usecase, time.monotonic())
        if pending is not None:
            await pending

    def _authorize(
        self, principal: Principal, context: RequestContext, route: str, scope: Scope, usecase: str, now: float
    ) -> Awaitable[None] | None:
        """Admit a known client. The use case comes first: the refusal is the same whether or not it is served."""
        if principal.has_expired():
            raise self._refusal(context, scope, 401, "the credential has expired.", principal, _INVALID)
        if not principal.may_use(usecase):
            raise self._wrong_usecase(principal, context, scope)
        if not principal.may(route):
            scopes = required_scopes(route)
            detail = f"this route requires the scope {' or '.join(scopes)}, which this credential does not have."
            challenge = f'error="insufficient_scope", scope="{" ".join(scopes)}"'
            raise self._refusal(context, scope, 403, detail, principal, challenge)
        context.caller, context.principal = principal.mask, principal
        limit = principal.limit
        if limit is None:
            return None
        if self._shared_counter is not None:
            return self._count_shared(principal, limit, context, scope, now)
        self._apply_limit(self._local_counter.hit(limit, now), principal, context, scope)
        return None

    async def _count_shared(
        self, principal: Principal, limit: Limit, context: RequestContext, scope: Scope, now: float
    ) -> None:
        assert self._shared_counter is not None
        self._apply_limit(await self._shared_counter.hit(limit, now), principal, context, scope)

    def _apply_limit(self, count: WindowCount, principal: Principal, context: RequestContext, scope: Scope) -> None:
        context.rate_limit_headers = count.lines
        if count.refused:
            raise self._over_limit(count, _limited(count.limit), principal, context, scope)

    def _over_limit(
        self, count: WindowCount, detail: str, principal: Principal, context: RequestContext, scope: Scope
    ) -> Refused:
        self._log(context, scope, 429, detail, principal)
        return Refused(detail, 429, [(b"retry-after", b"%d" % math.ceil(count.reset))])

    def _wrong_usecase(self, principal: Principal, context: RequestContext, scope: Scope) -> Refused:
        own = ", ".join(sorted(principal.usecases or ())) or "no use case"
        detail = f"this credential is for {own}, not for the use case of this path: send one that is."
        return self._refusal(context, scope, 403, detail, principal, 'error="insufficient_scope"')

    def _unknown_keys(self, context: RequestContext, scope: Scope, problem: str) -> Unavailable:
        self._log(context, scope, 503, problem)
        return Unavailable("API keys cannot be verified: the file that holds them cannot be read.", retry_after=5)

    def _missing_or_unknown(self, context: RequestContext, scope: Scope) -> Refused:
        if context.credential:
            detail = "this API key is unknown: it is wrong, or was revoked."
            return self._refusal(context, scope, 401, detail, challenge=_INVALID)
        detail = (
            "a credential is required: an API key or a bearer token, as `Authorization: Bearer …` or `X-API-Key: …`."
        )
        return self._refusal(context, scope, 401, detail)

    def _refusal(
        self,
        context: RequestContext,
        scope: Scope,
        status: int,
        detail: str,
        principal: Principal | None = None,
        challenge: str = "",
    ) -> Refused:
        """Return the refusal, with the challenge of RFC 6750, section 3, and log it."""
        self._log(context, scope, status, detail, principal)
        value = f"{_SCHEME}, {challenge}" if challenge else _SCHEME
        return Refused(detail, status, [(b"www-authenticate", value.encode())])

    def _log(
        self, context: RequestContext, scope: Scope, status: int, reason: str, principal: Principal | None = None
    ) -> None:
        self.audit_log.log_refusal(context, scope, status, reason, principal)


def _limited(limit: Limit) -> str:
    return f"this credential is limited to {limit.amount} {limit.unit} in {limit.seconds} s."


async def _verified(tokens: TokenVerifier, credential: bytes, digest: bytes) -> Principal:
    """Return a token's principal. Raises InvalidToken, or Unavailable where its issuer's keys cannot be read."""
    if not tokens.jwks.known():
        await tokens.read_keys()
    return tokens.known(digest) or await tokens.verify(credential, digest)


def _token_verifier(settings: Settings, secret: bytes) -> TokenVerifier:
    """Make the verifier, imported only where it is used: its libraries take 0.1 s, and so do those of Redis."""
    from bentos.auth.jwt import TokenVerifier

    return TokenVerifier(settings, secret)


def _redis_counter(url: str, local: FixedWindowCounter) -> RedisWindowCounter:
    from bentos.auth.redis_rate_limits import RedisWindowCounter

    return RedisWindowCounter(url, local)
