"""Double of the prediction service over HTTP that fails, slows down or swaps versions on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from slipway.contracts.schema import Schema
from slipway.ids import row_id, uuid7


@dataclass
class Service:
    """Double whose `fails` maps the number of a prediction request, from 0, to a status; -1 drops the connection."""

    usecase: str
    schema: Schema
    url: str = ""
    version: str = "1"
    fails: dict[int, int] = field(default_factory=dict)
    swaps: dict[int, str] = field(default_factory=dict)
    instances: list[dict[str, Any]] = field(default_factory=list)
    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    refuses_feedback_after: int | None = None
    document: dict[str, Any] = field(default_factory=dict)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def feedback(self) -> list[dict[str, Any]]:
        return [entry for batch in self.batches for entry in batch]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        base = f"/v1/models/{self.usecase}"
        if (method, path) == ("GET", base):
            return 200, {"name": self.usecase, "version": self.version, "workers": [], "refused": {}} | self.document
        if (method, path) == ("GET", f"{base}/schema"):
            return 200, msgspec.to_builtins(self.schema) | {"examples": []}
        if (method, path) == ("POST", f"{base}/predict"):
            return self._predict(body["instances"])
        if (method, path) == ("POST", f"{base}/feedback"):
            return self._feedback(body["feedback"])
        return 404, {"title": "Not found", "detail": f"there is nothing at {path}", "status": 404}

    def _predict(self, instances: list[dict[str, Any]]) -> tuple[int, Any]:
        with self.lock:
            number = len(self.instances)
            self.instances += instances
            self.version = self.swaps.get(number, self.version)
            version = self.version
        if number in self.fails:
            return self.fails[number], {"title": "Unavailable", "detail": "as the test asked", "status": 503}
        return 200, {"model": {"version": version}, "predictions": [{"id": row_id(uuid7(), 0), "label": "good"}]}

    def _feedback(self, entries: list[dict[str, Any]]) -> tuple[int, Any]:
        if self.refuses_feedback_after is not None and len(self.feedback) >= self.refuses_feedback_after:
            return 503, {"title": "Unavailable", "detail": "the log cannot be written", "status": 503}
        self.batches.append(entries)
        return 200, {"ids": []}


@contextmanager
def serving(usecase: str, schema: Schema) -> Iterator[Service]:
    """Provide the double, listening on its own port until the end of the block."""
    service = Service(usecase, schema)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with service.lock:
                service.connections += 1

        def do_GET(self) -> None:
            self._answer("GET", None)

        def do_POST(self) -> None:
            self._answer("POST", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, method: str, body: Any) -> None:
            status, document = service.answer(method, self.path, body)
            if status < 0:
                self.close_connection = True
                return
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    return Handler
