"""The web application of the watch process: the status page, its JSON, `/metrics`, reports, comparisons, `/alerts`."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from monitoring.analysis import verdict
from monitoring.retraining.alertmanager_webhook import Receiver
from monitoring.retraining.decisions import Decisions
from monitoring.status import candidate_page, exporter
from monitoring.status.dashboard import Dashboard, flow_runs
from monitoring.status.formatting import FILTERS
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.storage import object_store

_HERE = Path(__file__).parent
_STATIC = {path.name: path for path in (_HERE / "static").iterdir()}
_FILE = re.compile(r"[\w-][\w.-]*\.(html|json)")
_USECASE = re.compile(r"[a-z][a-z0-9_]*")
_PAGE_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# A report brings scripts of its own (Evidently's): they run, but as of no origin, so they reach nothing of this page.
_REPORT_POLICY = "sandbox allow-scripts allow-popups allow-top-navigation-by-user-activation"
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


def application(config: Settings, board: Callable[[], Dashboard], is_alive: Callable[[], bool]) -> Starlette:
    """`board` gives the last picture that was taken, `is_alive` whether pictures are still being taken."""
    templates = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= FILTERS
    page, decisions_page = (templates.get_template(f"{name}.html.j2") for name in ("page", "retraining"))

    def index(request: Request) -> Response:
        return HTMLResponse(page.render(board=board()), headers=_HEADERS | {"Content-Security-Policy": _PAGE_POLICY})

    def status(request: Request) -> Response:
        return JSONResponse(board().to_dict(), headers=_HEADERS)

    def alive(request: Request) -> Response:
        return PlainTextResponse("ok\n") if is_alive() else PlainTextResponse("the watch loop is stuck\n", 503)

    def scrape(request: Request) -> Response:
        content = exporter.exposition(config, lambda: {usecase.name: usecase.rollout for usecase in board().usecases})
        return Response(content, media_type=exporter.CONTENT_TYPE)

    def report(request: Request) -> Response:
        name = request.path_params["file"]
        content = read_report(config, request.path_params["usecase"], name)
        if content is None:
            return PlainTextResponse("There is no such report.\n", 404)
        headers = _HEADERS | {"Content-Security-Policy": _REPORT_POLICY}
        return Response(content, media_type=mimetypes.guess_type(name)[0], headers=headers)

    def retraining(request: Request) -> Response:
        usecase = request.path_params["usecase"]
        if not _USECASE.fullmatch(usecase):
            return PlainTextResponse("There is no such use case.\n", 404)
        try:
            found = Decisions(config, usecase).recent()
        except (SlipwayError, OSError) as error:
            return PlainTextResponse(f"The decisions cannot be read: {error}\n", 503)
        shown = decisions_page.render(
            usecase=usecase, environment=config.environment, decisions=found, flow_runs=flow_runs(config)
        )
        return HTMLResponse(shown, headers=_HEADERS | {"Content-Security-Policy": _PAGE_POLICY})

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
            Route("/retraining/{usecase}", retraining),
            Route("/alerts", Receiver(config).answer, methods=["POST"]),
            *candidate_page.routes(config, templates, _HEADERS | {"Content-Security-Policy": _PAGE_POLICY}),
            Route("/static/{name}", static),
        ]
    )


def read_report(config: Settings, usecase: str, name: str) -> bytes | None:
    """A file of a verdict, or None: nothing outside the use case's folder of verdicts is ever named."""
    if not (_USECASE.fullmatch(usecase) and _FILE.fullmatch(name)):
        return None
    try:
        return object_store(config).read(f"{verdict.folder(config, usecase)}/{name}")
    except (SlipwayError, OSError):
        return None
