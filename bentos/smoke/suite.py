"""Smoke: the checks of a whole deployment, first of the server, then of each use case."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from bentos.smoke.check import Check, in_turn, until
from bentos.smoke.client import Client
from bentos.smoke.expectations import Expected
from bentos.smoke.model_checks import UseCaseChecks
from bentos.smoke.responses import Models
from slipway.errors import ServiceError


def smoke(client: Client, expected: Expected) -> Iterator[Check]:
    """Each check as soon as it is made; the deployment is asked for nothing that a failed check makes pointless."""
    names: list[str] = []
    deadline = time.monotonic() + expected.timeout
    steps = [
        ("live", partial(until, deadline, partial(_live, client))),
        ("ready", partial(until, deadline, partial(_ready, client))),
        ("models", partial(_models, client, expected, names)),
    ]
    failed = False
    for check in in_turn("server", steps, needed=len(steps)):
        failed |= check.state != "ok"
        yield check
    if failed:
        yield Check("server", "use cases", "not asked", "because of what failed before.")
    for name in names:
        yield from UseCaseChecks(client, name, expected, deadline).run()


def _live(client: Client) -> str:
    answer = client.get("/livez")
    if (answer.status, answer.body.strip()) != (200, b"alive"):
        raise ServiceError(f"{answer.asked} answers {answer.said}: no Slipway server is at {client.url}.")
    return f"{client.url} is alive"


def _ready(client: Client) -> str:
    answer = client.get("/readyz")
    if answer.status != 200:
        raise ServiceError(f"the server is not ready: {answer.said}")
    return "every use case has a model"


def _models(client: Client, expected: Expected, names: list[str]) -> str:
    """Fills `names` with the use cases to check."""
    answer = client.get("/v1/models")
    if answer.status == 401:
        raise ServiceError(f"{answer.said} Set SLIPWAY_API_KEY to a key of this server with the scope predict.")
    listed = {model.name: model.ready for model in answer.read(Models).models}
    wanted = expected.usecases or tuple(listed)
    if missing := [name for name in wanted if not listed.get(name)]:
        raise ServiceError(f"{', '.join(missing)} is not served here; {', '.join(listed) or 'nothing'} is.")
    if expected.reference and expected.reference.usecase not in wanted:
        raise ServiceError(f"the bundle is of {expected.reference.usecase}; {', '.join(wanted)} is checked here.")
    if expected.version and len(wanted) > 1:
        raise ServiceError(f"--expect-version is of one use case: choose one of {', '.join(wanted)} by --usecase.")
    names += wanted
    return ", ".join(names)
