"""HTTP server for doubles: `answer` gets each request and returns JSON or bytes, or raises an error response."""

from __future__ import annotations

import json
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

Answer = dict[str, Any] | list[Any] | bytes


class Refused(Exception):
    """Error response in the format of MLflow and Prefect."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.content = {"error_code": code, "message": message}


class HttpDouble:
    """Server that handles one request at a time, as a database would. `headers` are sent with each response."""

    headers: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.request_headers: Message = Message()  # of the one that is answered
        self._one_at_a_time = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HttpDouble:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        raise NotImplementedError

    def _handler(double) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    with double._one_at_a_time:
                        double.request_headers = self.headers
                        answer, status = (
                            double.answer(self.command, url.path, dict(parse_qsl(url.query)), body),
                            200,
                        )
                except Refused as refused:
                    answer, status = refused.content, refused.status
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                for name, value in double.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _do

            def log_message(self, *_: object) -> None:
                pass

        return Handler
