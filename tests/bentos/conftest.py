"""The service in this process (fast: `start_client`), and as real processes (`serve`)."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bentos.api.application import Application
from bentos.models import batch_size
from bentos.worker import Worker
from slipway import api_keys
from slipway.ecs_logging import Redaction
from slipway.ecs_logging.formatter import EcsFormatter
from slipway.settings import settings
from tests.bentos.server.processes import Server
from tests.support import bundles

PATIENT = {"deadline_ms": 30_000}  # these tests check what is answered, not how soon on a busy machine


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def answer_not_found(scope: dict, receive: Callable, send: Callable) -> None:
    """Stands in for BentoML's application, which knows none of the tests' paths."""
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"Not Found"})


class Client:
    """Calls the ASGI application as uvicorn does, without a socket."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.application = Application(worker, answer_not_found)

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, b"", headers)

    def post(self, path: str, content: Any, **headers: str) -> Answer:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.request("POST", path, body, {"content-type": "application/json"} | headers)

    def predict(self, *instances: Any, usecase: str = "loans", **more: Any) -> Answer:
        return self.post(f"/v1/models/{usecase}/predict", {"instances": list(instances)} | more)

    def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        return asyncio.run(self._call(method, path, body, headers))

    async def _call(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = [(name.encode(), value.encode()) for name, value in named.items()]
        if body:
            raw.append((b"content-length", str(len(body)).encode()))
        scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}
        sent: list[dict] = []

        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict:
            if not messages:  # the client stays until it is answered
                await asyncio.Event().wait()
            return messages.pop()

        async def send(message: dict) -> None:
            sent.append(message)

        await self.application(scope, receive, send)
        start, *parts = sent
        answered = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], answered, b"".join(part.get("body", b"") for part in parts))

    def events(self, usecase: str = "loans", stream: str = "prediction") -> list[dict]:
        """The lines that are in the log now, in the files themselves."""
        paths = sorted((self.worker.settings.spool / usecase).glob(f"{stream}-*"))
        return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]

    def metric(self, name: str, **labels: str) -> float:
        self.worker.metrics.flush()
        return self.worker.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture(autouse=True)
def _no_sandboxed_loads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare workers in this process the half a second of a sandboxed load; their tests ask for `sandboxed_loads`."""
    if "sandboxed_loads" not in request.fixturenames:
        monkeypatch.setattr("slipway.inference.sandbox.require_survival", lambda *_: None)


@pytest.fixture
def sandboxed_loads() -> None:
    """Load bundles in a sandbox first, as a server does."""


@pytest.fixture
def start_client(var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Client]]:
    """`start_client(schema, …)` promotes a bundle of each schema and starts a worker that serves them, in this process.

    Options go to `bundles.write`; `promote=False` leaves the store and the pointer as the test made them. A test
    of response times sets its own deadline: `serving={"deadline_ms": …}`.
    """
    monkeypatch.setattr(batch_size, "MAX_SECONDS", 0.05)  # the best batch size is not under test here
    with ExitStack() as running:

        def start(*schemas: Any, promote: bool = True, **options: Any) -> Client:
            schemas = schemas or (bundles.TABULAR,)
            options["serving"] = PATIENT | options.get("serving", {})
            for schema in schemas if promote else ():
                bundles.promote(var, tmp_path / schema.usecase, schema, **options)
            settings.cache_clear()
            worker = Worker(settings(), [schema.usecase for schema in schemas])
            running.callback(worker.stop)
            worker.start()
            return Client(worker)

        yield start


@pytest.fixture
def serve(var: Path) -> Iterator[Callable[..., Server]]:
    """`serve("loans", workers=2)` starts the real server on a free port, and ends it after the test."""
    with ExitStack() as running:

        def start(*usecases: str, **options: Any) -> Server:
            return running.enter_context(Server(var, usecases, **options))

        yield start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server of the use case `loans`, for the tests of a module together."""
    folder = tmp_path_factory.mktemp("server")
    bundles.promote(folder / "var", folder / "loans")
    with Server(folder / "var", ("loans",), SLIPWAY_KEEP_ALIVE_SECONDS="5") as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture
def connection(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connected:
        yield connected


@pytest.fixture
def key(var: Path) -> Callable[..., str]:
    """`key("ci", "predict", rate=…)` makes an API key and returns it."""

    def make(name: str, *scopes: str, **options: Any) -> str:
        return api_keys.create(settings().key_file, name, scopes, **options)[1]

    return make


@pytest.fixture
def audit() -> Iterator[list[str]]:
    """The audit lines, as they are written."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    logger, handler = logging.getLogger("slipway.audit"), Kept()
    handler.setFormatter(EcsFormatter("service", "local", Redaction([])))
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture
def refused_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """`refused_settings(SLIPWAY_HOST="…")`: exit code and output of the service, which refuses these settings.

    Each of its processes checks them when it imports the service; here, this process does.
    """
    monkeypatch.setenv("SLIPWAY_SERVE", "loans")
    settings.cache_clear()
    from bentos import service

    def load(**env: str) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            settings.cache_clear()
            with pytest.raises(SystemExit) as ended:
                service._load_settings()
        settings.cache_clear()
        return int(ended.value.code or 0), capsys.readouterr().err

    return load
