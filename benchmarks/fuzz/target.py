"""The server that is fuzzed, as it describes itself: its use cases, and instances that it answers."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

SECONDS = 30.0  # for an answer: the machine may be busy, and nothing here is about time


@dataclass(frozen=True)
class UseCase:
    name: str
    rows: list[dict[str, Any]]
    features: list[dict[str, Any]]
    truth: dict[str, Any]

    @property
    def image(self) -> str | None:
        """The name of its image, if it takes one."""
        return next((feature["name"] for feature in self.features if feature["kind"] == "image"), None)


@dataclass(frozen=True)
class Target:
    """What a run needs to know of `127.0.0.1:port`, which needs no credential."""

    port: int
    usecases: list[UseCase]

    @staticmethod
    def of(port: int) -> Target:
        names = [model["name"] for model in json.loads(get(port, "/v1/models")[1])["models"]]
        return Target(port, [_usecase(port, name) for name in names])


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body, on a connection of its own."""
    return post(port, path, None)


def post(port: int, path: str, content: Any) -> tuple[int, bytes]:
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
