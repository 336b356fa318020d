"""Application of the watch process, called in this process without a socket."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp

from monitoring.status import dashboard
from monitoring.status.app import application
from slipway.settings import settings


def build_empty(hint: Callable[[str], bool] = lambda usecase: False) -> Starlette:
    """Build the application with a dashboard that shows no use case."""
    return application(settings(), lambda: dashboard.Dashboard("local", "", [], []), lambda: True, hint)


def connect(app: ASGIApp, host: str = "localhost") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}")


def check_problem(response: httpx.Response, status: int, words: str) -> None:
    """Check that the response is a problem document of that status, with these words in its detail."""
    problem = response.json()
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), problem
    assert (problem["status"], words in problem["detail"]) == (status, True), problem["detail"]
