"""JSON over one HTTP connection that stays open: what traffic, feedback, the reconciler and the status page speak.

    client = Client("http://127.0.0.1:3000")
    answer = client.post("/v1/models/digits/predict", {"instances": rows})
    answer.status, answer.document

Standard library only, so that whatever holds `slipway` can ask a server. The key in SLIPWAY_API_KEY goes along.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from slipway.errors import ServiceError
from slipway.settings import settings

# Servers close idle connections, uvicorn after 5 s: a request sent into that moment would look like a failed one.
REUSE_SECONDS = 2.0


@dataclass(frozen=True)
class ServiceResponse:
    """What came back; `document` is None where the body is not JSON."""

    status: int
    document: Any

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def problem(self) -> str:
        """Why it is not ok, in the server's words (RFC 9457) where it has some."""
        said = self.document if isinstance(self.document, dict) else {}
        return f"{self.status} {said.get('detail') or said.get('title') or ''}".strip()


class ServiceClient:
    """One server. Not for several threads at once: each makes its own.

    With `address` the one of the host's IP addresses that is meant; host header and certificate go by the URL.
    """

    def __init__(self, url: str, timeout: float = 10.0, address: str | None = None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServiceError(f"{url!r} is no address of a server. Write it as http://127.0.0.1:3000.")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._prefix = parts.path.rstrip("/")
        self._connection = kind(parts.hostname, parts.port, timeout=timeout)
        if address:
            # where http.client looks the host up; its documented parts would take the address for the host's name
            self._connection._create_connection = lambda at, *rest: socket.create_connection((address, at[1]), *rest)
        self._used = 0.0
        self._headers = {"Accept": "application/json", **settings().authorization}

    def get(self, path: str) -> ServiceResponse:
        return self._send("GET", path, None)

    def post(self, path: str, document: Any) -> ServiceResponse:
        return self._send("POST", path, json.dumps(document, ensure_ascii=False, allow_nan=False).encode())

    def close(self) -> None:
        self._connection.close()

    def _send(self, method: str, path: str, body: bytes | None) -> ServiceResponse:
        """Raises ServiceError where no answer comes; a request is never sent twice."""
        if time.monotonic() - self._used > REUSE_SECONDS:
            self._connection.close()
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        try:
            self._connection.request(method, self._prefix + path, body, headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            reason = str(error) or type(error).__name__
            raise ServiceError(
                f"{self.url} does not answer: {reason}. Is it up? `slipway status` says what runs."
            ) from None
        self._used = time.monotonic()
        return ServiceResponse(response.status, _decoded(content))


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
