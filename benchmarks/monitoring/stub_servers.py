"""Stub of MLflow and of a prediction server at one address, in threads: as much of both as monitoring reads.

Its registry changes by itself: every so many reads a new version becomes the champion.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_API = "/api/2.0/mlflow/"
_RUN = {"info": {"run_id": "run", "artifact_uri": "mlflow-artifacts:/1/run/artifacts", "experiment_id": "1"}}
_BUCKETS = (0.005, 0.01, 0.05, 0.1, 1.0, "+Inf")


class StubRegistry:
    """A registered model whose versions come by themselves, with tags and aliases that stay as they are set."""

    def __init__(self, name: str, reads_per_version: int) -> None:
        self._name = name
        self._reads_per_version = reads_per_version
        self._reads = 0
        self._tags: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def respond(self, method: str, path: str, query: dict[str, str], body: bytes) -> bytes:
        """Respond to a request of either server."""
        with self._lock:
            if path == "/metrics":
                return self._metrics()
            if path.startswith("/v1/models/"):
                return _json(self._served())
            if "/mlflow-artifacts/" in path:
                return self._artifact(path) if method == "GET" else b"{}"
            if path.startswith(_API):
                return _json(self._mlflow(method, path.removeprefix(_API), query, json.loads(body or b"{}")))
            return b"{}"

    def _mlflow(self, method: str, route: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        match route:
            case "registered-models/get":
                self._reads += 1
                alias = {"alias": "champion", "version": str(self._newest)}
                return {"registered_model": {"name": self._name, "aliases": [alias]}}
            case "model-versions/get":
                return {"model_version": self._version(query["version"])}
            case "model-versions/search":
                return {"model_versions": [self._version(str(n + 1)) for n in range(self._newest)]}
            case "model-versions/get-download-uri":
                return {"artifact_uri": f"mlflow-artifacts:/1/{query['version']}/artifacts"}
            case "model-versions/set-tag":
                self._tags.setdefault(body["version"], {})[body["key"]] = body["value"]
            case "experiments/get-by-name":
                return {"experiment": {"experiment_id": "1", "name": query["experiment_name"]}}
            case "runs/search":
                return {"runs": [_RUN]}
            case "runs/create" | "runs/get" | "runs/update":
                return {"run": _RUN, "run_info": _RUN["info"]}
        return {}

    @property
    def _newest(self) -> int:
        return 1 + self._reads // self._reads_per_version

    def _version(self, number: str) -> dict[str, Any]:
        tags = {"slipway.bundle_sha256": _digest(number), "slipway.gate": "passed", **self._tags.get(number, {})}
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        return {"name": self._name, "version": number, "run_id": "run", "creation_timestamp": 1, "tags": listed}

    def _artifact(self, path: str) -> bytes:
        number = path.partition("/mlflow-artifacts/artifacts/1/")[2].partition("/")[0]
        return _manifest(number)

    def _served(self) -> dict[str, Any]:
        number = str(self._newest)
        worker = {"pid": 1, "generation": 1, "serving": _digest(number), "version": number, "device": "cpu"}
        workers = [{**worker, "source": "registry", "since": "2026-01-01T00:00:00Z"}]
        return {"name": self._name, "version": number, "digest": _digest(number), "workers": workers}

    def _metrics(self) -> bytes:
        labels = f'usecase="{self._name}",route="predict"'
        lines = [f'slipway_requests_total{{{labels},code="200"}} {self._reads * 100}']
        lines += [f'slipway_request_duration_seconds_bucket{{{labels},le="{b}"}} {self._reads * 100}' for b in _BUCKETS]
        return ("\n".join(lines) + "\n").encode()


@contextmanager
def served(registry: StubRegistry) -> Iterator[str]:
    """Serve for the length of the block; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # a response in one packet: two would wait 40 ms for each other

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            content = registry.respond(self.command, parts.path, query, body)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond

        def log_message(self, *_: object) -> None:
            """No access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _manifest(number: str) -> bytes:
    return _json({"contract": 1, "usecase": "stub", "files": {}, "facts": {"version": number}})


def _digest(number: str) -> str:
    return hashlib.sha256(_manifest(number)).hexdigest()


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()
