"""The web application of the watch process: the status page, its JSON, `/metrics`, and the reports of verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from monitoring import metrics, verdict
from monitoring.status.board import Board
from monitoring.status.words import FILTERS
from slipway.errors import SlipwayError
from slipway.settings import Settings

_HERE = Path(__file__).parent
_STATIC = {path.name: path for path in (_HERE / "static").iterdir()}
_FILE = re.compile(r"[\w-][\w.-]*\.(html|json)")
_USECASE = re.compile(r"[a-z][a-z0-9_]*")
_PAGE_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# A report brings scripts of its own (Evidently's): they run, but as of no origin, so they reach nothing of this page.
_REPORT_POLICY = "sandbox allow-scripts allow-popups allow-top-navigation-by-user-activation"
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


def application(config: Settings, board: Callable[[], Board], is_alive: Callable[[], bool]) -> Starlette:
    """`board` gives the last picture that was taken, `is_alive` whether pictures are still being taken."""
    templates = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= FILTERS
    page = templates.get_template("page.html.j2")

    def index(request: Request) -> Response:
        return HTMLResponse(page.render(board=board()), headers=_HEADERS | {"Content-Security-Policy": _PAGE_POLICY})

    def status(request: Request) -> Response:
        return JSONResponse(board().to_dict(), headers=_HEADERS)

    def alive(request: Request) -> Response:
        return PlainTextResponse("ok\n") if is_alive() else PlainTextResponse("the watch loop is stuck\n", 503)

    def scrape(request: Request) -> Response:
        content = metrics.exposition(config, lambda: [usecase.name for usecase in board().usecases])
        return Response(content, media_type=metrics.CONTENT_TYPE)

    def report(request: Request) -> Response:
        path = report_file(config, request.path_params["usecase"], request.path_params["file"])
        if path is None:
            return PlainTextResponse("There is no such report.\n", 404)
        return FileResponse(path, headers=_HEADERS | {"Content-Security-Policy": _REPORT_POLICY})

    def static(request: Request) -> Response:
        path = _STATIC.get(request.path_params["name"])
        return FileResponse(path, headers={"Cache-Control": "no-cache"}) if path else PlainTextResponse("", 404)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/status", status),
            Route("/livez", alive),
            Route("/healthz", alive),
            Route("/metrics", scrape),
            Route("/verdicts/{usecase}/{file}", report),
            Route("/static/{name}", static),
        ]
    )


def report_file(config: Settings, usecase: str, name: str) -> Path | None:
    """The file of a verdict, or None: nothing outside the use case's folder of verdicts is ever named."""
    if not (_USECASE.fullmatch(usecase) and _FILE.fullmatch(name)):
        return None
    try:
        folder = verdict.folder(config, usecase).resolve()
    except SlipwayError:
        return None
    path = (folder / name).resolve()
    return path if path.parent == folder and path.is_file() else None
