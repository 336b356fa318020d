"""Registry over HTTP that serves the versions of one model from folders, intact or tampered with."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from slipway.contracts.bundle import manifest
from slipway.system import files

_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
_CHUNK = b"\0" * 65536


class RegistryDouble:
    """Double with `add("1", folder)` to register a version, and `aliases`.

    Files in `endless` never end when they are requested; `sent` counts the bytes of them that were taken.
    """

    def __init__(self, name: str, port: int = 0) -> None:
        self.name = name
        self.aliases: dict[str, str] = {}
        self.versions: dict[str, tuple[Path, dict[str, str]]] = {}
        self.endless: set[str] = set()
        self.requested_files: list[str] = []
        self.sent = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> RegistryDouble:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, version: str, folder: Path, **tags: str) -> str:
        """Register the folder as it is and return its digest, unless `tags` name another."""
        digest = files.file_sha256(folder / manifest.MANIFEST)
        self.versions[version] = folder, {"slipway.bundle_sha256": digest} | tags
        return digest

    def answer(self, path: str, query: dict[str, list[str]]) -> Any:
        route = path.rpartition("/api/2.0/mlflow/")[2]
        if route == "registered-models/get":
            aliases = [{"alias": alias, "version": version} for alias, version in self.aliases.items()]
            return {"registered_model": {"name": self.name, "aliases": aliases}}
        version = query["version"][0]
        if route == "model-versions/get-download-uri":
            return {"artifact_uri": f"mlflow-artifacts:/{version}/bundle"}
        tags = [{"key": key, "value": value} for key, value in self.versions[version][1].items()]
        return {"model_version": {"name": self.name, "version": version, "run_id": "run", "tags": tags}}

    def _handler(double) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = urlsplit(self.path)
                if not found.path.startswith(_ARTIFACTS):
                    self._send(json.dumps(double.answer(found.path, parse_qs(found.query))).encode())
                    return
                version, _, name = found.path.removeprefix(_ARTIFACTS).partition("/bundle/")
                double.requested_files.append(name)
                file = double.versions[version][0] / name
                if name in double.endless:
                    self._never_end()
                elif file.is_file():
                    self._send(file.read_bytes())
                else:
                    self._send(b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}', 404)

            def _send(self, content: bytes, status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _never_end(self) -> None:
                self.send_response(200)
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(_CHUNK)
                        double.sent += len(_CHUNK)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler
