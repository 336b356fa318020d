"""Prefect's server, for this machine and its own pages only.

Prefect answers any host name, so a web page could reach it by DNS rebinding, and takes WebSockets from any origin.
"""

from __future__ import annotations

from collections.abc import Sequence

from prefect.server.api.server import create_app as create_prefect_app
from prefect.settings import PREFECT_SERVER_CORS_ALLOWED_ORIGINS
from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")


class OwnOriginOnly:
    """Middleware that refuses what the page of another origin sends; a browser cannot leave `Origin` out there."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origins = Headers(scope=scope).getlist("origin") if scope["type"] != "lifespan" else []
        if self._origins.issuperset(origins):
            await self._app(scope, receive, send)
            return
        message = f"The origin {origins[0]!r} is not allowed: this server is for {', '.join(sorted(self._origins))}.\n"
        await PlainTextResponse(message, 403)(scope, receive, send)


def create_app() -> ASGIApp:
    """Wrap Prefect's app, whose credentials and origins are in Prefect's own variables; a factory for uvicorn."""
    origins = str(PREFECT_SERVER_CORS_ALLOWED_ORIGINS.value()).split(",")
    own = OwnOriginOnly(create_prefect_app(), origins)
    return TrustedHostMiddleware(own, HOSTS, www_redirect=False)
