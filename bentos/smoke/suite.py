"""Smoke test of a whole deployment: checks of the server, then of each use case."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from bentos.smoke.check import Check, retry_until, run_checks
from bentos.smoke.client import Client
from bentos.smoke.expectations import Expected
from bentos.smoke.model_checks import UseCaseChecks
from bentos.smoke.responses import Models
from slipway.errors import ServiceError


def smoke(client: Client, expected: Expected) -> Iterator[Check]:
    """Yield each check when it is done; checks that a failed one makes pointless are skipped."""
    names: list[str] = []
    deadline = time.monotonic() + expected.timeout
    steps = [
        ("live", partial(retry_until, deadline, partial(_check_live, client))),
        ("ready", partial(retry_until, deadline, partial(_check_ready, client))),
        ("models", partial(_check_models, client, expected, names)),
    ]
    failed = False
    for check in run_checks("server", steps, required=len(steps)):
        failed |= check.state != "ok"
        yield check
    if failed:
        yield Check("server", "use cases", "skipped", "because a check of the server failed.")
    for name in names:
        yield from UseCaseChecks(client, name, expected, deadline).run()


def _check_live(client: Client) -> str:
    response = client.get("/livez")
    if (response.status, response.body.strip()) != (200, b"alive"):
        raise ServiceError(f"{response.request} answers {response.summary}: no Slipway server is at {client.url}.")
    return f"{client.url} is alive"


def _check_ready(client: Client) -> str:
    response = client.get("/readyz")
    if response.status != 200:
        raise ServiceError(f"the server is not ready: {response.summary}")
    return "every use case has a model"


def _check_models(client: Client, expected: Expected, names: list[str]) -> str:
    """Check that the expected use cases are served, and fill `names` with those to check."""
    response = client.get("/v1/models")
    if response.status == 401:
        raise ServiceError(f"{response.summary} Set SLIPWAY_API_KEY to a key of this server with the scope predict.")
    ready = {model.name: model.ready for model in response.read(Models).models}
    chosen = expected.usecases or tuple(ready)
    if missing := [name for name in chosen if not ready.get(name)]:
        raise ServiceError(f"{', '.join(missing)} is not served here; {', '.join(ready) or 'nothing'} is.")
    if expected.reference and expected.reference.usecase not in chosen:
        raise ServiceError(f"the bundle is of {expected.reference.usecase}; {', '.join(chosen)} is checked here.")
    if expected.version and len(chosen) > 1:
        raise ServiceError(f"--expect-version is of one use case: choose one of {', '.join(chosen)} by --usecase.")
    names += chosen
    return ", ".join(names)
