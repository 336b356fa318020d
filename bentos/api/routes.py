"""Routes other than predictions: models, feedback, probes, metrics, documents and the web page."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from bentos.api import api_docs, openapi, web_page
from bentos.api.feedback import accept, read_entries
from bentos.api.model_metadata import describe, described_schema, list_models
from bentos.api.path_prefix import PathPrefix
from bentos.api.static_files import NamedFiles
from bentos.errors import MethodNotAllowed, NotReady, Unavailable
from bentos.problem_details import JSON, SAFE
from bentos.request import is_json, read_body, wrong_content_type
from bentos.telemetry.metrics import CONTENT_TYPE, exposition
from bentos.worker import ServedModel, Worker
from slipway.credentials import credentials_required
from slipway.errors import InputError, suggestion
from slipway.system.shared_results import SharedResults, TooManyResults

CONTEXT = "slipway.context"  # key of the ASGI scope, where the application puts the request context
_SAFE = {name.decode(): value.decode() for name, value in SAFE}
_RESERVED = "is reserved for a later version: this one does not serve it."

Handler = Callable[[Request], Awaitable[Response]]


class Routes:
    """The Starlette routes, for the use cases that are served. The name of a route is its label in the metrics."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.prefix = PathPrefix(worker.settings.root_path)
        self._usecases: dict[str, str] = {}
        self._scrapes = SharedResults(lambda usecases: exposition(usecases, worker.collectors), 0)
        fixed = [
            _get("/", self._index, "page"),
            _get("/livez", self._livez, "probe"),
            _get("/readyz", self._readyz, "probe"),
            _get("/metrics", self._metrics, "metrics"),
            _get("/docs", self._docs, "docs"),
            _get("/docs/start.js", self._start_script, "docs"),
            _get("/openapi.json", self._openapi, "openapi"),
            _get("/v1/models", self._models, "models"),
        ]
        for usecase in worker.names:
            fixed += self._routes_of(usecase, f"/v1/models/{usecase}", "")
            if len(worker.names) == 1:
                fixed += self._routes_of(usecase, "/v1", "/model")
        self._names = {route.path: route.name for route in fixed}
        page = NamedFiles(web_page.FOLDER, web_page.MEDIA_TYPES, web_page.HEADERS)
        docs = NamedFiles(api_docs.FOLDER, api_docs.MEDIA_TYPES, api_docs.HEADERS)
        self.routes: list[BaseRoute] = [
            *fixed,
            Mount("/page", page, name="page"),
            Mount("/docs", docs, name="docs"),
        ]

    def labels(self, path: str) -> tuple[str, str]:
        """Return use case and route of a path as the metrics name them: from fixed sets, whatever the path."""
        name = self._names.get(path)
        if name is not None:
            return self._usecases.get(path, ""), name
        return "", {"/page/": "page", "/docs/": "docs"}.get(path[:6], "other")

    def named_usecase(self, path: str) -> str:
        """Return the use case that a path names, served or not; `""` where it names none."""
        if path in self._usecases:
            return self._usecases[path]
        parts = path.split("/", 4)
        return parts[3] if parts[1:3] == ["v1", "models"] and len(parts) > 3 else ""

    def _routes_of(self, usecase: str, base: str, model: str) -> list[Route]:
        async def describe_model(request: Request) -> Response:
            details = await self._worker.authenticator.may_see_details(request.scope[CONTEXT])
            prefix = self.prefix.of(request.scope)
            return _json(await asyncio.to_thread(describe, self._served(usecase), details, prefix))

        async def schema(request: Request) -> Response:
            return _json(described_schema(self._served(usecase)))

        async def feedback(request: Request) -> Response:
            served, context = self._served(usecase), request.scope[CONTEXT]
            if not is_json(context.content_type):
                raise wrong_content_type(context.content_type, "application/json")
            limit = self._worker.settings.body_limit(images=False)
            body = await read_body(request.receive, context, limit, served.body_budget)  # type: ignore[arg-type]
            entries = await asyncio.to_thread(read_entries, body, self._worker.settings.max_instances)
            await self._worker.authenticator.charge_rows(context, request.scope, len(entries), "feedback")
            return _json(await asyncio.to_thread(accept, served, served.live, context, entries))

        routes = [
            _get(f"{base}{model}", describe_model, "model"),
            _get(f"{base}/schema", schema, "schema"),
            Route(f"{base}/feedback", feedback, methods=["POST"], name="feedback"),
            Route(f"{base}/predict", _OnlyPost(), name="predict"),  # the application answers POST
        ]
        self._usecases |= {route.path: usecase for route in routes}
        return routes

    def require_unreserved(self, path: str, usecases: Sequence[str]) -> None:
        """Raise InputError (404) for a path of the API that no route has; `usecases` are those the client may know."""
        if path == "/v2" or path.startswith("/v2/"):
            raise InputError(f"/v2 {_RESERVED}", status=404)
        right = _without_further_slashes(path)
        if right in self._names and self._usecases.get(right, "") in ("", *usecases):
            raise InputError(
                f"there is nothing at this path, which has a slash too many: send it to {right}.", status=404
            )
        if path.startswith("/v1/"):
            raise InputError(self._describe_unknown(path, usecases), status=404)

    def _describe_unknown(self, path: str, names: Sequence[str]) -> str:
        parts = path.split("/")
        if path.endswith("/explain"):
            return f"explain {_RESERVED}"
        if parts[2] == "models" and len(parts) > 3 and parts[3] not in names:
            hint = suggestion(parts[3].lower(), names)
            return f"no use case {parts[3][:60]!r} is served here.{hint} Served: {', '.join(names) or 'none of yours'}."
        if names and parts[2] in ("predict", "feedback", "model", "schema"):
            return f"several use cases are served here ({', '.join(names)}): name one, as /v1/models/{names[0]}."
        return "there is nothing at this path; /docs lists what there is."

    def _served(self, usecase: str) -> ServedModel:
        return self._worker.served[usecase]

    async def _index(self, request: Request) -> Response:
        if self.prefix.lacks_slash(request.scope):  # the page's links are relative
            return RedirectResponse(f"{self.prefix.root_path}/", headers=web_page.HEADERS)
        return Response(web_page.render(self._worker.names), media_type="text/html", headers=web_page.HEADERS)

    async def _livez(self, request: Request) -> Response:
        return _text("alive\n")

    async def _readyz(self, request: Request) -> Response:
        if self._worker.draining:
            raise Unavailable("this server ends.")
        context = request.scope[CONTEXT]
        details = await self._worker.authenticator.may_see_details(context)
        own = self._worker.visible(context)
        waiting = [served for served in self._worker.served.values() if not served.manager.live]
        if waiting:
            causes = [f"{served.name} waits for {served.waits_for}" for served in waiting if served.name in own]
            message = "a use case has no model yet."
            raise NotReady(message, " ".join([*causes, *self._worker.machine]) or message)
        warnings: list[str] = []
        if details:
            warnings = [f"warning: {' '.join(warning.split())}" for warning in self._worker.warnings(own)]
        return _text("\n".join(["ready", *warnings, ""]))

    async def _metrics(self, request: Request) -> Response:
        own = self._worker.visible(request.scope[CONTEXT])
        usecases = tuple(own) if len(own) < len(self._worker.names) else None
        try:
            content = await self._scrapes.get(usecases)
        except TooManyResults:
            raise Unavailable("too many clients with different use cases scrape this server at the moment.") from None
        return Response(content, headers=_SAFE | {"content-type": CONTENT_TYPE})

    async def _docs(self, request: Request) -> Response:
        return Response(api_docs.PAGE, media_type="text/html", headers=api_docs.HEADERS)

    async def _start_script(self, request: Request) -> Response:
        return Response(api_docs.START_SCRIPT, media_type="text/javascript", headers=api_docs.HEADERS)

    async def _openapi(self, request: Request) -> Response:
        settings = self._worker.settings
        document = openapi.document(
            {name: self._served(name).live for name in self._worker.visible(request.scope[CONTEXT])},
            settings.max_instances,
            credentials=credentials_required(settings),
            alone=len(self._worker.names) == 1,
            root_path=self.prefix.of(request.scope),
        )
        return _json(msgspec.json.encode(document))

    async def _models(self, request: Request) -> Response:
        visible = [self._served(name) for name in self._worker.visible(request.scope[CONTEXT])]
        return _json(list_models(visible, self.prefix.of(request.scope)))


class _OnlyPost:
    """An ASGI endpoint of a path whose POST requests do not reach the routes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise MethodNotAllowed(scope["method"], "POST")


def _without_further_slashes(path: str) -> str:
    return re.sub("/+", "/", path).rstrip("/") or "/"


def _get(path: str, handler: Handler, name: str) -> Route:
    return Route(path, handler, methods=["GET"], name=name)


def _json(content: bytes) -> Response:
    return Response(content, media_type=JSON.decode(), headers=_SAFE)


def _text(content: str) -> Response:
    return Response(content, media_type="text/plain", headers=_SAFE)
