"""Client of a prediction server: JSON over one HTTP connection that stays open.

    client = Client("http://127.0.0.1:3000")
    answer = client.post("/v1/models/digits/predict", {"instances": rows})
    answer.ok, answer.read(Predictions)

The key in SLIPWAY_API_KEY is sent along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from slipway.clients.http import HttpClient, Response, decode
from slipway.errors import ServiceError
from slipway.settings import settings
from slipway.texts import one_line

T = TypeVar("T")


class _Problem(Struct, frozen=True):
    """What is read of a problem detail (RFC 9457)."""

    detail: str = ""
    title: str = ""


@dataclass(frozen=True)
class ServiceResponse:
    """A response of the server at `url`."""

    url: str
    response: Response

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def ok(self) -> bool:
        return self.response.ok

    @property
    def problem(self) -> str:
        """Why it is not ok, with the server's problem detail if there is one."""
        try:
            found = decode(self.response.content, _Problem)
        except ValueError:
            found = _Problem()
        return f"{self.status} {one_line(found.detail or found.title)}".strip()

    def read(self, kind: type[T]) -> T:
        """Parse the content. Raises ServiceError if it is not JSON of this kind."""
        try:
            return self.response.read(kind)
        except ServiceError as error:
            raise ServiceError(
                f"{self.url} does not respond as Slipway does ({error}): is it another server, or another release?"
            ) from None


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
                f"{self.url} does not respond: {error}. Is it up? `slipway status` says what runs."
            ) from None
        return ServiceResponse(self.url, response)
