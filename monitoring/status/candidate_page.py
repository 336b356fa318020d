"""Page that compares a shadow or a canary with the champion, and its JSON.

A comparison reads the log. However many look, there is one at a time, and one of a use case in 30 seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from monitoring.analysis.quality import TITLES
from monitoring.rollout import candidate_comparison
from slipway.config import NAME
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.system.shared_results import SharedResults, TooManyResults

SECONDS = 30.0
"""How old a comparison may be that is shown."""
Compared = tuple[candidate_comparison.CandidateComparison | None, str]


def routes(config: Settings, templates: Environment, headers: Mapping[str, str]) -> list[Route]:
    """Routes of the page and of its JSON."""
    template = templates.get_template("shadow.html.j2")
    comparisons = SharedResults(partial(_compared, config), SECONDS)

    async def page(request: Request) -> Response:
        name = request.path_params["usecase"]
        found, error = await _shared(comparisons, name)
        content = template.render(
            name=name,
            environment=config.environment,
            found=found,
            error=error,
            metrics=TITLES,
            least_labels=candidate_comparison.MIN_LABELS,
            most_rows=candidate_comparison.MAX_ROWS,
        )
        return HTMLResponse(content, 503 if error else 200, headers=dict(headers))

    async def document(request: Request) -> Response:
        found, error = await _shared(comparisons, request.path_params["usecase"])
        content = {"error": error} if error else found.to_dict() if found else None
        return JSONResponse(content, 503 if error else 200, headers=dict(headers))

    return [Route("/shadow/{usecase}", page), Route("/api/shadow/{usecase}", document)]


async def _shared(comparisons: SharedResults[str, Compared], usecase: str) -> Compared:
    if not re.fullmatch(NAME, usecase):
        return None, ""
    try:
        return await comparisons.get(usecase)
    except TooManyResults:
        return None, "Many use cases are being compared: try again in a minute."


def _compared(config: Settings, usecase: str) -> Compared:
    """The comparison, or None; and the error if there is one."""
    try:
        return candidate_comparison.compare(config, usecase), ""
    except (SlipwayError, OSError) as error:
        return None, str(error)
