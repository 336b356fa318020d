"""Target of the fuzzer, as the server describes itself: its use cases and valid instances."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

SECONDS = 30.0  # for an answer: the machine may be busy, and nothing here is about time


@dataclass(frozen=True)
class UseCase:
    """Use case of the target with valid rows."""

    name: str
    rows: list[dict[str, Any]]
    features: list[dict[str, Any]]
    truth: dict[str, Any]

    @property
    def image(self) -> str | None:
        """Return the name of the image feature, if there is one."""
        return next((feature["name"] for feature in self.features if feature["kind"] == "image"), None)


@dataclass(frozen=True)
class Target:
    """Port and use cases of `127.0.0.1:port`, which needs no credential."""

    port: int
    usecases: list[UseCase]

    @staticmethod
    def of(port: int) -> Target:
        """Read the use cases of a server."""
        names = [model["name"] for model in json.loads(get(port, "/v1/models")[1])["models"]]
        return Target(port, [_usecase(port, name) for name in names])


def get(port: int, path: str) -> tuple[int, bytes]:
    """Send GET on a new connection and return status and body."""
    return post(port, path, None)


def post(port: int, path: str, content: Any) -> tuple[int, bytes]:
    """Send POST on a new connection and return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        body = None if content is None else json.dumps(content)
        connection.request("GET" if body is None else "POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _usecase(port: int, name: str) -> UseCase:
    schema = json.loads(get(port, f"/v1/models/{name}/schema")[1])
    truth = {"value": 1.5} if schema["task"] == "regression" else {"label": schema["classes"][0]}
    return UseCase(name, schema["examples"], schema["features"], truth)
