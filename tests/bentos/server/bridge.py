"""The service in this process behind a socket, with a proxy that may change requests and answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.bentos.conftest import Answer, Client


class Bridge:
    """Server whose `change(path, answer)` replaces the service's answer; `dropped` headers do not reach the service.

    >>> with Bridge(start_client()) as bridge:
    ...     cli("smoke", bridge.url)
    """

    def __init__(
        self, client: Client, change: Callable[[str, Answer], Answer] = lambda _, answer: answer, dropped: str = ""
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one packet: two would wait 40 ms for each other

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != dropped}
                answer = change(self.path, client.request(self.command, self.path, body, headers))
                self.send_response(answer.status)
                for name, value in (answer.headers | {"content-length": str(len(answer.body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            do_POST = do_GET

            def log_message(self, *words: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Bridge:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
