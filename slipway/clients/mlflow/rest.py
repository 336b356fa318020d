"""MLflow's REST API over HTTP, without MLflow's client, whose import takes seconds.

Routes as MLflow 3 documents them: https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

from __future__ import annotations

import base64
import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from slipway.clients.http import HttpClient, Response, read_chunks
from slipway.errors import NotFound, RegistryError, ServiceError
from slipway.settings import settings

if TYPE_CHECKING:
    import httpx

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

    def _get(self, route: str, **query: str) -> dict[str, Any]:
        return self._json(self._request("GET", f"{_API}/{route}?{urllib.parse.urlencode(query)}"))

    def _send(self, method: str, route: str, **body: Any) -> dict[str, Any]:
        return self._json(self._request(method, f"{_API}/{route}", document=body))

    def _pages(self, route: str, key: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Read a list that MLflow returns in pages."""
        token = ""
        while True:
            page = self._get(route, **query, **({"page_token": token} if token else {}))
            yield from page.get(key, ())
            token = page.get("next_page_token", "")
            if not token:
                return

    def _request(self, method: str, path: str, *, document: Any = None, content: bytes | None = None) -> Response:
        try:
            response = self._client.request(method, path, document=document, content=content, headers=_authorization())
        except ServiceError as error:
            raise self._unreachable(error) from None
        self._require_success(response)
        return response

    @contextmanager
    def _stream(self, path: str) -> Iterator[httpx.Response]:
        """A response whose content is read by the block, through `read_chunks`; one that is an error raises here."""
        try:
            with self._client.stream("GET", path, headers=_authorization()) as response:
                if response.is_success:
                    yield response
                    return
                content = b"".join(read_chunks(response))
        except ServiceError as error:
            raise self._unreachable(error) from None
        self._require_success(Response(response.status_code, content, response.reason_phrase))

    @cached_property
    def _client(self) -> HttpClient:
        return HttpClient(self.uri, timeout=self.timeout)

    def _json(self, response: Response) -> dict[str, Any]:
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise RegistryError(f"{self.uri} does not answer as MLflow does: is another program on that port?")
        return found

    def _require_success(self, response: Response) -> None:
        """MLflow's error as ours; it answers a missing alias with 400, a missing model with 404."""
        if response.ok:
            return
        code, message = "", response.reason
        if 300 <= response.status < 400:
            message = f"a redirect to {response.headers.get('location')}; set MLFLOW_TRACKING_URI to that address"
        try:
            content = response.json()
            code, message = content.get("error_code", ""), content.get("message", "")
        except (ValueError, AttributeError):
            pass
        kind = NotFound if response.status == 404 or code in _MISSING else RegistryError
        raise kind(f"the registry {self.uri} answered {response.status}: {message or code}")

    def _unreachable(self, reason: ServiceError) -> RegistryError:
        return RegistryError(
            f"the registry {self.uri} does not answer ({reason}): "
            "start it (`slipway up`), or set MLFLOW_TRACKING_URI to one that runs."
        )


def _authorization() -> dict[str, str]:
    """The credentials in MLflow's own variables, as its client sends them."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    return {}
