"""Observer: records each change in registry and service once, with its time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from scenarios.closed_loop import observer
from scenarios.closed_loop.observer import CANARY, CHAMPION, REFUSED, SERVED, STAGE, Observer
from slipway.errors import ServiceError
from slipway.settings import settings


class World:
    """Registry and service in one; a test changes their responses."""

    def __init__(self) -> None:
        self.aliases = {"champion": "1"}
        self.tag = ""
        self.versions: dict[str, dict[str, str]] = {"1": {}}
        self.served = ["1", "1"]
        self.is_up = True

    def response(self, path: str) -> dict:
        if path.startswith("/v1/models/"):
            return {"workers": [{"version": version} for version in self.served]}
        if "registered-models/get" in path:
            aliases = [{"alias": alias, "version": version} for alias, version in self.aliases.items()]
            tags = [{"key": "slipway.canary", "value": self.tag}] if self.tag else []
            return {"registered_model": {"name": "loans", "aliases": aliases, "tags": tags}}
        found = [
            {"name": "loans", "version": number, "tags": [{"key": key, "value": tags[key]} for key in tags]}
            for number, tags in self.versions.items()
        ]
        return {"model_versions": found}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if found.is_up else 503)
            self.end_headers()
            self.wfile.write(json.dumps(found.response(self.path)).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setattr(observer, "POLL_SECONDS", 0.02)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    settings.cache_clear()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def watching(world: World) -> Iterator[Observer]:
    with Observer("loans", settings().registry_uri) as found:
        found.wait(SERVED, bool, 10, datetime.min.replace(tzinfo=UTC), lambda: "")
        yield found


def wait_for(watching: Observer, what: str, value: str) -> datetime:
    return watching.wait(what, value.__eq__, 10, datetime.min.replace(tzinfo=UTC), lambda: "").at


def test_a_rollout_is_observed_in_its_order(world: World, watching: Observer) -> None:
    world.aliases["canary"] = "2"
    began = wait_for(watching, CANARY, "2")
    world.tag = json.dumps({"version": "2", "weight": 5, "stage": 1})
    first = wait_for(watching, STAGE, "2 at 5 %")
    world.tag = json.dumps({"version": "2", "weight": 25.0, "stage": 2})
    second = wait_for(watching, STAGE, "2 at 25 %")
    world.aliases, world.tag = {"champion": "2"}, ""
    champion = wait_for(watching, CHAMPION, "2")
    world.served = ["2", "1"]
    wait_for(watching, SERVED, "1, 2")
    world.served = ["2", "2"]
    served = wait_for(watching, SERVED, "2")
    assert began < first < second < champion < served
    assert watching.now(CANARY) == ""
    assert [moment.value for moment in watching.moments if moment.what == CHAMPION] == ["1", "2"]


def test_a_refused_version_is_observed(world: World, watching: Observer) -> None:
    world.versions |= {"2": {"slipway.refused": "errors"}, "3": {}}
    wait_for(watching, REFUSED, "2")


def test_a_server_that_is_down_for_a_while_is_polled_again(world: World, watching: Observer) -> None:
    world.is_up = False
    world.aliases["champion"] = "2"
    with pytest.raises(ServiceError, match="champion is '1' after 0 s"):
        watching.wait(CHAMPION, "2".__eq__, 0.2, datetime.now(UTC), lambda: "")
    world.is_up = True
    wait_for(watching, CHAMPION, "2")
    assert "" not in [moment.value for moment in watching.moments if moment.what == CHAMPION]


def test_waiting_ends_when_the_change_cannot_come_any_more(watching: Observer) -> None:
    with pytest.raises(ServiceError, match="version 2 was refused"):
        watching.wait(CHAMPION, "2".__eq__, 60, datetime.now(UTC), lambda: "version 2 was refused")
