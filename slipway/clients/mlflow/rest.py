"""MLflow's REST API over HTTP, without MLflow's client, whose import takes seconds.

Routes as MLflow 3 documents them: https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

from __future__ import annotations

import base64
import os
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from slipway.clients.http import SLOWEST_DOWNLOAD, HttpClient, Response, decode, read_whole
from slipway.clients.mlflow.documents import Error, Page
from slipway.errors import NotFound, RegistryError, ServiceError
from slipway.settings import settings
from slipway.texts import one_line

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
P = TypeVar("P", bound=Page)
_MAX_PAGES = 1000
_API = "/api/2.0/mlflow"
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


class MlflowRest:
    """A tracking server; every method raises RegistryError if it does not respond, NotFound for an unknown name."""

    def __init__(self, uri: str | None = None, timeout: float = 10.0) -> None:
        self.uri = (uri or settings().registry_uri).rstrip("/")
        self.timeout = timeout
        if not self.uri.startswith(("http://", "https://")):
            raise RegistryError(
                f"the registry {self.uri} is not a server: set MLFLOW_TRACKING_URI to an http:// or https:// address."
            )
        if "@" in urllib.parse.urlsplit(self.uri).netloc:
            raise RegistryError(
                "MLFLOW_TRACKING_URI holds a user or a password: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD instead, which no message shows."
            )

    def alive(self) -> bool:
        """Tell whether the server responds."""
        try:
            self._request("GET", "/health")
        except RegistryError:
            return False
        return True

    def _get(self, kind: type[T], route: str, **query: str) -> T:
        return self._parse(kind, self._request("GET", f"{_API}/{route}?{urllib.parse.urlencode(query)}"))

    def _send(self, kind: type[T], method: str, route: str, **body: Any) -> T:
        return self._parse(kind, self._request(method, f"{_API}/{route}", document=body))

    def _pages(self, ask: Callable[[dict[str, str]], P]) -> Iterator[P]:
        """Read a list that MLflow returns in pages, each of which names the next one by a token."""
        following: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            page = ask(following)
            yield page
            if not page.next_page_token:
                return
            following = {"page_token": page.next_page_token}
        raise RegistryError(f"the registry {self.uri} answers a list that has no end after {_MAX_PAGES} pages.")

    def _request(self, method: str, path: str, *, document: Any = None, content: bytes | None = None) -> Response:
        try:
            response = self._client.request(method, path, document=document, content=content, headers=authorization())
        except ServiceError as error:
            raise self._unreachable(error) from None
        self._require_success(response)
        return response

    @contextmanager
    def _stream(self, path: str) -> Iterator[httpx.Response]:
        """A response whose content is read by the block, through `read_chunks`; one that is an error raises here."""
        try:
            with self._client.stream("GET", path, headers=authorization(), slowest=SLOWEST_DOWNLOAD) as response:
                if response.is_success:
                    yield response
                    return
                failed = read_whole(response)
        except ServiceError as error:
            raise self._unreachable(error) from None
        self._require_success(failed)

    @cached_property
    def _client(self) -> HttpClient:
        return HttpClient(self.uri, timeout=self.timeout)

    def _parse(self, kind: type[T], response: Response) -> T:
        try:
            return response.read(kind)
        except ServiceError as error:
            raise RegistryError(
                f"{self.uri} does not respond as MLflow does ({error}): is another program on that port?"
            ) from None

    def _require_success(self, response: Response) -> None:
        """MLflow's error as ours. A bare 404 says nothing of its content: a proxy or another program sends it, too."""
        if response.ok:
            return
        error = _error(response)
        kind = NotFound if error.error_code in _MISSING else RegistryError
        reason = one_line(error.message or error.error_code or response.reason)
        raise kind(f"the registry {self.uri} answered {response.status}: {reason}")

    def _unreachable(self, reason: ServiceError) -> RegistryError:
        return RegistryError(
            f"the registry {self.uri} does not respond ({reason}): "
            "start it (`slipway up`), or set MLFLOW_TRACKING_URI to one that runs."
        )


def _error(response: Response) -> Error:
    if 300 <= response.status < 400:  # not followed: the credentials would go along
        to = response.headers.get("location", "nowhere")
        return Error(message=f"a redirect to {one_line(to)}; set MLFLOW_TRACKING_URI to that address")
    try:
        return decode(response.content, Error)
    except ValueError:
        return Error()


def authorization() -> dict[str, str]:
    """Read the credentials in MLflow's own variables, as its client sends them."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    return {}
