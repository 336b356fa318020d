"""Client of a prediction server: JSON over one HTTP connection that stays open.

    client = Client("http://127.0.0.1:3000")
    answer = client.post("/v1/models/digits/predict", {"instances": rows})
    answer.status, answer.document

The key in SLIPWAY_API_KEY is sent along.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from slipway.clients.http import HttpClient
from slipway.errors import ServiceError
from slipway.settings import settings


@dataclass(frozen=True)
class ServiceResponse:
    """A response; `document` is None if the body is not JSON."""

    status: int
    document: Any

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def problem(self) -> str:
        """Why it is not ok, with the server's problem detail (RFC 9457) if there is one."""
        detail = self.document if isinstance(self.document, dict) else {}
        return f"{self.status} {detail.get('detail') or detail.get('title') or ''}".strip()


class ServiceClient:
    """A prediction server. With `address`, connections go to that one of the host's IP addresses."""

    def __init__(self, url: str, timeout: float = 10.0, address: str | None = None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServiceError(f"{url!r} is no address of a server. Write it as http://127.0.0.1:3000.")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        headers = {"Accept": "application/json", **settings().authorization}
        self._http = HttpClient(self.url, timeout=timeout, headers=headers, use_proxy=False, address=address)

    def get(self, path: str) -> ServiceResponse:
        """Send a GET. Raises ServiceError if there is no response."""
        return self._send("GET", path)

    def post(self, path: str, document: Any) -> ServiceResponse:
        """Send a document as JSON. Raises ServiceError if there is no response; a request is never sent twice."""
        return self._send("POST", path, document)

    def close(self) -> None:
        """Close the connection; a later request opens one again."""
        self._http.close()

    def _send(self, method: str, path: str, document: Any = None) -> ServiceResponse:
        try:
            response = self._http.request(method, path, document=document)
        except ServiceError as error:
            raise ServiceError(
                f"{self.url} does not answer: {error}. Is it up? `slipway status` says what runs."
            ) from None
        return ServiceResponse(response.status, _decoded(response.content))


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
