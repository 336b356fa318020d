"""Web application of the watch process: the status page, its JSON, `/metrics`, reports, comparisons and webhooks."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from monitoring.analysis import verdict
from monitoring.analysis.quality import TITLES
from monitoring.retraining.alertmanager_webhook import Receiver
from monitoring.retraining.decisions import Decisions
from monitoring.status import candidate_page, exporter
from monitoring.status.dashboard import Dashboard, flow_runs
from monitoring.status.formatting import FILTERS
from monitoring.webhooks import mlflow_webhook
from slipway.errors import SlipwayError
from slipway.same_origin import SameOriginCheck
from slipway.settings import Settings
from slipway.storage import object_store
from slipway.system.shared_results import SharedResults, TooManyResults
from slipway.trace_context import HEADER, enter_trace, new_trace_id, read_traceparent

SECONDS = 5.0
"""How old metrics, a report or decisions may be that are shown: as old as the dashboard."""
_PIECE = 64 << 10
_HERE = Path(__file__).parent
_STATIC = {path.name: path for path in (_HERE / "static").iterdir()}
_FILE = re.compile(r"[\w-][\w.-]*\.(html|json)")
_USECASE = re.compile(r"[a-z][a-z0-9_]*")
_INDENTATION = re.compile(r"\n\s+")  # a tenth of a page with many models
_PAGE_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# A report contains scripts of its own (Evidently's): they run without an origin, so they reach nothing of this page.
# Nor do they reach anything else: pages of earlier releases have no policy of their own.
_REPORT_POLICY = (
    "sandbox allow-scripts allow-popups allow-top-navigation-by-user-activation; default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_PAGE_HEADERS = _HEADERS | {"Content-Security-Policy": _PAGE_POLICY}


def application(
    config: Settings,
    board: Callable[[], Dashboard],
    is_alive: Callable[[], bool],
    hint: Callable[[str], bool] = lambda usecase: False,
    collectors: Sequence[Collector] = (),
) -> Starlette:
    """Build the application.

    `board` returns the last dashboard, `is_alive` whether the watch loop still runs; `hint` makes it read the state of
    a use case now, and returns whether it is watched. `/metrics` shows what `collectors` yield, too.
    """
    templates, mlflow = _templates(), mlflow_webhook.MlflowReceiver(config, hint)
    pages = _Pages(config, templates, board, is_alive, [mlflow.deliveries, *collectors])
    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/api/status", pages.status),
            Route("/livez", pages.alive),
            Route("/healthz", pages.alive),
            Route("/metrics", pages.metrics),
            Route("/verdicts/{usecase}/{file}", pages.report),
            Route("/retraining/{usecase}", pages.retraining),
            Route("/alerts", Receiver(config).answer, methods=["POST"]),
            Route(mlflow_webhook.PATH, mlflow.answer, methods=["POST"]),
            *candidate_page.routes(config, templates, _PAGE_HEADERS),
            Route("/static/{name}", _static),
        ],
        exception_handlers={TooManyResults: _crowded},
        middleware=[
            Middleware(_Traced),
            Middleware(_SameOrigin, check=SameOriginCheck(config.status_host, config.allowed_hosts)),
        ],
    )


class _Traced:
    """Middleware that lets what a request causes, such as a training, run in the trace of its caller."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            enter_trace(read_traceparent(_field(scope, HEADER.encode())) or new_trace_id())
        await self._app(scope, receive, send)


class _SameOrigin:
    """Middleware that refuses what a web page of another site sends, for no page here asks for a credential."""

    def __init__(self, app: ASGIApp, check: SameOriginCheck) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = self._app
        if scope["type"] == "http":
            host, origin = (_field(scope, name) for name in (b"host", b"origin"))
            if refusal := self._check.refusal(host, origin):
                app = PlainTextResponse(f"{refusal}\n", 403)
        await app(scope, receive, send)


def _field(scope: Scope, name: bytes) -> bytes:
    return b", ".join(value for found, value in scope["headers"] if found == name)


class _Pages:
    """Endpoints of the status page. What reads files is shared by all who ask within `SECONDS`."""

    def __init__(
        self,
        config: Settings,
        templates: Environment,
        board: Callable[[], Dashboard],
        is_alive: Callable[[], bool],
        collectors: Sequence[Collector],
    ) -> None:
        self._config = config
        self._page = templates.get_template("page.html.j2")
        self._decisions_page = templates.get_template("retraining.html.j2")
        self._board = board
        self._is_alive = is_alive
        # In this order: a scrape during the first pass says that it ended only if its use cases are in the scrape, too
        self._collectors = [*collectors, *exporter.collectors(config, self._rollouts)]
        self._metrics = SharedResults(self._exposition, SECONDS)
        self._reports = SharedResults(lambda key: read_report(config, *key), SECONDS, most=8)
        self._decisions = SharedResults(lambda usecase: Decisions(config, usecase).recent(), SECONDS)

    def index(self, request: Request) -> Response:
        content = self._page.render(board=self._board(), titles=TITLES)
        return HTMLResponse(_INDENTATION.sub("\n", content), headers=_PAGE_HEADERS)

    def status(self, request: Request) -> Response:
        return JSONResponse(self._board().to_dict(), headers=_HEADERS)

    async def alive(self, request: Request) -> Response:
        if self._is_alive():
            return PlainTextResponse("ok\n")
        return PlainTextResponse("the watch loop is stuck\n", 503)

    async def metrics(self, request: Request) -> Response:
        return Response(await self._metrics.get("all"), media_type=exporter.CONTENT_TYPE)

    async def report(self, request: Request) -> Response:
        usecase, name = request.path_params["usecase"], request.path_params["file"]
        content = await self._reports.get((usecase, name)) if is_report(usecase, name) else None
        if content is None:
            return PlainTextResponse("There is no such report.\n", 404)
        headers = _HEADERS | {"Content-Security-Policy": _REPORT_POLICY, "Content-Length": str(len(content))}
        return StreamingResponse(_pieces(content), media_type=mimetypes.guess_type(name)[0], headers=headers)

    async def retraining(self, request: Request) -> Response:
        usecase = request.path_params["usecase"]
        if not _USECASE.fullmatch(usecase):
            return PlainTextResponse("There is no such use case.\n", 404)
        try:
            decisions = await self._decisions.get(usecase)
        except (SlipwayError, OSError) as error:
            return PlainTextResponse(f"The decisions cannot be read: {error}\n", 503)
        content = self._decisions_page.render(
            usecase=usecase,
            environment=self._config.environment,
            decisions=decisions,
            flow_runs=flow_runs(self._config),
        )
        return HTMLResponse(content, headers=_PAGE_HEADERS)

    def _exposition(self, _: str) -> bytes:
        return exporter.exposition(self._collectors)

    def _rollouts(self) -> dict[str, dict[str, Any]]:
        return {usecase.name: usecase.rollout for usecase in self._board().usecases}


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    """Send by pieces: the server waits for a slow reader after each, and keeps no copy of the whole for it."""
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


async def _crowded(request: Request, error: Exception) -> Response:
    return PlainTextResponse("Too much is being read for others: try again in a moment.\n", 503)


def is_report(usecase: str, name: str) -> bool:
    """Whether it may be a file of a verdict. No such name reaches outside the use case's folder of verdicts."""
    return bool(_USECASE.fullmatch(usecase) and _FILE.fullmatch(name))


def read_report(config: Settings, usecase: str, name: str) -> bytes | None:
    """Read a file of a verdict; None where there is none."""
    try:
        return (
            object_store(config).read(f"{verdict.folder(config, usecase)}/{name}") if is_report(usecase, name) else None
        )
    except (SlipwayError, OSError):
        return None


def _static(request: Request) -> Response:
    path = _STATIC.get(request.path_params["name"])
    return FileResponse(path, headers={"Cache-Control": "no-cache"}) if path else PlainTextResponse("", 404)


def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= FILTERS
    return templates
