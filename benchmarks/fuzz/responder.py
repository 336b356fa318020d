"""HTTP server that answers by given bytes, well-formed or not, and the registry of one model on top of it."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from slipway.contracts.bundle import manifest
from slipway.system import files

Respond = Callable[[str], bytes]
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
_SECONDS = 5.0  # for a request to arrive


class _Handler(socketserver.StreamRequestHandler):
    timeout = _SECONDS

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError, IndexError):  # a client may leave at any time
            target = self.rfile.readline().split()[1].decode()
            length = 0
            while (line := self.rfile.readline()).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            self.wfile.write(self.server.respond(target))  # type: ignore[attr-defined]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128


@contextmanager
def responding(respond: Respond) -> Iterator[str]:
    """Answer each request by the bytes that `respond(TARGET)` returns, close its connection, and provide the URL."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.respond = respond  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def response(content: bytes, status: bytes = b"200 OK") -> bytes:
    """Make a well-formed response."""
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, len(content)) + content


def registry_of(usecase: str, folders: dict[str, Path], aliases: dict[str, str]) -> Respond:
    """Respond as MLflow does to what a follower asks of a model, whose bundles are in `folders` by version."""

    def respond(target: str) -> bytes:
        found = urlsplit(target)
        if found.path.startswith(_ARTIFACTS):
            version, _, name = found.path.removeprefix(_ARTIFACTS).partition("/bundle/")
            return response((folders[version] / name).read_bytes())
        return response(json.dumps(document(found.path, parse_qs(found.query))).encode())

    def document(path: str, query: dict[str, list[str]]) -> Any:
        if path.endswith("registered-models/get"):
            named = [{"alias": alias, "version": version} for alias, version in aliases.items()]
            return {"registered_model": {"name": usecase, "aliases": named}}
        if "version" not in query:
            return {}
        version = query["version"][0]
        if path.endswith("model-versions/get-download-uri"):
            return {"artifact_uri": f"mlflow-artifacts:/{version}/bundle"}
        digest = files.file_sha256(folders[version] / manifest.MANIFEST)
        tags = [{"key": "slipway.bundle_sha256", "value": digest}]
        return {"model_version": {"name": usecase, "version": version, "run_id": "run", "tags": tags}}

    return respond
