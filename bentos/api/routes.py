"""Every route but the prediction itself: what serves, feedback, probes, metrics, the page, and what there is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from bentos import auth
from bentos.api import api_docs, openapi, web_page
from bentos.api.feedback import accept
from bentos.api.model_metadata import describe, described_schema
from bentos.errors import Header, MethodNotAllowed, Unavailable
from bentos.problem_details import JSON, SAFE
from bentos.request import Receive, RequestContext, read_body
from bentos.telemetry.metrics import CONTENT_TYPE, exposition
from bentos.worker import ServedModel, Worker
from slipway.errors import InputError, suggestion

_PAGE_HEADERS = [(name.lower().encode(), value.encode()) for name, value in web_page.HEADERS.items()]
_FOLDERS = {"/page/": "page", "/docs/": "docs"}
_RESERVED = "is reserved for a later version: this one does not answer it."


class Reply(NamedTuple):
    body: bytes
    content_type: bytes = JSON
    headers: list[Header] = SAFE


Handler = Callable[[RequestContext, Receive], Awaitable[Reply]]


class Route(NamedTuple):
    """`name` and `usecase` are the labels of its metrics."""

    name: str
    usecase: str
    method: str
    handler: Handler | None


class Routes:
    """Finds the route of a path. The table is made once, from the use cases that are served."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        get = {
            "/": ("page", self._index),
            "/livez": ("probe", self._livez),
            "/readyz": ("probe", self._readyz),
            "/metrics": ("metrics", self._metrics),
            "/docs": ("docs", self._docs),
            "/openapi.json": ("openapi", self._openapi),
            "/v1/models": ("models", self._models),
        }
        self._table = {path: Route(name, "", "GET", handler) for path, (name, handler) in get.items()}
        for usecase in worker.names:
            own = self._of_usecase(usecase)
            self._table |= {f"/v1/models/{usecase}{end}": route for end, route in own.items()}
            if len(worker.names) == 1:
                self._table |= {f"/v1{end or '/model'}": route for end, route in own.items()}

    def find(self, method: str, path: str) -> Route | None:
        """The route; None where it is not ours.

        Raises:
            InputError: 404 where the path is reserved or names a use case that is not served, 405 for another method.
        """
        route = self._table.get(path)
        if route is None:
            return self._unlisted(method, path)
        if method != route.method and (method, route.method) != ("HEAD", "GET"):
            raise MethodNotAllowed(method, route.method)
        return route

    def label(self, path: str) -> tuple[str, str]:
        """Use case and route of a path for the metrics: from fixed sets, whatever the path."""
        route = self._table.get(path)
        if route:
            return route.usecase, route.name
        return "", _FOLDERS.get(path[:6], "other")

    def _of_usecase(self, usecase: str) -> dict[str, Route]:
        async def model(head: RequestContext, receive: Receive) -> Reply:
            return Reply(await asyncio.to_thread(describe, self._served(usecase)))

        async def schema(head: RequestContext, receive: Receive) -> Reply:
            return Reply(described_schema(self._served(usecase)))

        async def feedback(head: RequestContext, receive: Receive) -> Reply:
            served = self._served(usecase)
            body = await read_body(receive, head, self._worker.settings.max_body_bytes, served.body_budget)
            return Reply(await asyncio.to_thread(accept, served, served.live, head, body))

        return {
            "": Route("model", usecase, "GET", model),
            "/schema": Route("schema", usecase, "GET", schema),
            "/feedback": Route("feedback", usecase, "POST", feedback),
            "/predict": Route("predict", usecase, "POST", None),
        }

    def _unlisted(self, method: str, path: str) -> Route | None:
        asset = web_page.asset(path)
        if asset is not None and method in ("GET", "HEAD"):
            return _static("page", asset.content_type.encode(), asset.body, _PAGE_HEADERS)
        found = api_docs.asset(path)
        if found is not None and method in ("GET", "HEAD"):
            return _static("docs", *found, api_docs.HEADERS)
        if path.endswith("/explain") and path.startswith("/v1/"):
            raise InputError(f"explain {_RESERVED}", status=404)
        if path == "/v2" or path.startswith("/v2/"):
            raise InputError(f"/v2 {_RESERVED}", status=404)
        if path.startswith("/v1/"):
            raise self._unknown(path)
        return None

    def _unknown(self, path: str) -> InputError:
        names = self._worker.names
        parts = path.split("/")
        if parts[2] == "models" and len(parts) > 3 and parts[3] not in names:
            hint = suggestion(parts[3], names)
            detail = f"no use case {parts[3][:60]!r} is served here.{hint} Served: {', '.join(names)}."
        elif parts[2] in ("predict", "feedback", "model", "schema"):
            detail = f"several use cases are served here ({', '.join(names)}): name one, as /v1/models/{names[0]}."
        else:
            detail = "there is nothing at this path; /docs lists what there is."
        return InputError(detail, status=404)

    def _served(self, usecase: str) -> ServedModel:
        return self._worker.served[usecase]

    async def _index(self, head: RequestContext, receive: Receive) -> Reply:
        return Reply(web_page.index(self._worker.names), b"text/html; charset=utf-8", _PAGE_HEADERS)

    async def _livez(self, head: RequestContext, receive: Receive) -> Reply:
        return Reply(b"alive\n", b"text/plain")

    async def _readyz(self, head: RequestContext, receive: Receive) -> Reply:
        if self._worker.draining:
            raise Unavailable("this server ends.")
        waiting = [f"{s.name} waits for {s.waits_for}" for s in self._worker.served.values() if not s.manager.live]
        if waiting:
            raise Unavailable(" ".join([*waiting, *self._worker.machine]))
        warnings = [f"warning: {' '.join(said.split())}" for said in self._worker.warnings]
        return Reply("\n".join(["ready", *warnings, ""]).encode(), b"text/plain; charset=utf-8")

    async def _metrics(self, head: RequestContext, receive: Receive) -> Reply:
        return Reply(await asyncio.to_thread(exposition), CONTENT_TYPE.encode())

    async def _docs(self, head: RequestContext, receive: Receive) -> Reply:
        return Reply(api_docs.PAGE, b"text/html; charset=utf-8", api_docs.HEADERS)

    async def _openapi(self, head: RequestContext, receive: Receive) -> Reply:
        settings = self._worker.settings
        document = openapi.document(
            {name: served.live for name, served in self._worker.served.items()},
            settings.max_instances,
            credentials=auth.configured(settings),
        )
        return Reply(msgspec.json.encode(document))

    async def _models(self, head: RequestContext, receive: Receive) -> Reply:
        models: list[dict[str, Any]] = []
        for served in self._worker.served.values():
            live = served.manager.live
            models.append(
                {
                    "name": served.name,
                    "version": live.version if live else None,
                    "ready": live is not None,
                    "url": f"/v1/models/{served.name}",
                }
            )
        return Reply(msgspec.json.encode({"models": models}))


def _static(name: str, content_type: bytes, body: bytes, headers: list[Header]) -> Route:
    async def handler(head: RequestContext, receive: Receive) -> Reply:
        return Reply(body, content_type, headers)

    return Route(name, "", "GET", handler)
