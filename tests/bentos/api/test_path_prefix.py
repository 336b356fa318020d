"""The service under a path of a proxy, which removes it or not: its page, documents and links lead there."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urljoin

import pytest
from pydantic import ValidationError

from bentos.server.connection_limits import PEER
from slipway.settings import Settings
from tests.support import bundles

PROXY, STRANGER = "10.0.0.7", "203.0.113.9"
REMOVES = {"the proxy removes it": True, "the proxy leaves it": False}


class Published:
    """The service as a client sees it through a proxy that publishes it under a path."""

    def __init__(self, client: Any, prefix: str, *, removes: bool = True, peer: str = PROXY, **headers: str) -> None:
        self._client, self._prefix, self._removes, self._peer = client, prefix, removes, peer
        self._headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    def get(self, url: str, method: str = "GET", body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        assert f"{url}/".startswith(f"{self._prefix}/"), f"{url} leads out of {self._prefix}"
        path = url[len(self._prefix) :] or "/" if self._removes else url
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": b"",
        }
        scope |= {"headers": [(b"content-type", b"application/json"), *self._headers], "state": {PEER: self._peer}}
        sent: list[dict[str, Any]] = []
        asyncio.run(self._client.application(scope, _once(body), _into(sent)))
        headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])

    def json(self, url: str) -> Any:
        status, _, content = self.get(url)
        assert status == 200
        return json.loads(content)


def _once(body: bytes) -> Callable[[], Any]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _into(sent: list[dict[str, Any]]) -> Callable[[dict[str, Any]], Any]:
    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    return send


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/24")


@pytest.mark.parametrize("removes", REMOVES.values(), ids=REMOVES)
@pytest.mark.parametrize("prefix", ["/ml", "/a/b-c.d/~e"])
def test_all_that_page_and_documents_load_is_there(start_client, monkeypatch, prefix: str, removes: bool) -> None:
    monkeypatch.setenv("SLIPWAY_ROOT_PATH", f"{prefix}/")
    published = Published(start_client(bundles.TABULAR), prefix, removes=removes)
    for page, least in ((f"{prefix}/", 5), (f"{prefix}/docs", 3)):
        status, _, content = published.get(page)
        assert status == 200
        links = re.findall(rb'(?:src|href)="([^"#]+)"', content)
        found = [urljoin(page, link.decode()) for link in links if not link.startswith(b"data:")]
        assert len(found) >= least
        assert [published.get(url)[0] for url in found] == [200] * len(found)
    [spec] = re.findall(rb'url: "([^"]+)"', published.get(f"{prefix}/docs/start.js")[2])
    assert published.json(urljoin(f"{prefix}/docs", spec.decode()))["servers"] == [{"url": prefix}]
    [root] = re.findall(rb"this.root = `([^$]+)", published.get(f"{prefix}/page/api.js")[2])
    assert urljoin(f"{prefix}/", root.decode()) == f"{prefix}/v1/models/", "of a request of the page"


@pytest.mark.parametrize("removes", REMOVES.values(), ids=REMOVES)
def test_predictions_feedback_and_links_of_answers_work_under_the_path(
    start_client, monkeypatch, removes: bool
) -> None:
    monkeypatch.setenv("SLIPWAY_ROOT_PATH", "/ml")
    client = start_client(bundles.TABULAR)
    published, counted = (
        Published(client, "/ml", removes=removes),
        {"usecase": "loans", "route": "model", "code": "200"},
    )
    before = client.metric("slipway_requests_total", **counted)
    body = json.dumps({"instances": bundles.ROWS["loans"][:1]}).encode()
    for path in ("/ml/v1/predict", "/ml/v1/models/loans/predict"):
        assert published.get(path, "POST", body)[0] == 200
    [model] = published.json("/ml/v1/models")["models"]
    assert model["url"] == "/ml/v1/models/loans"
    assert published.json(model["url"])["schema_url"] == "/ml/v1/models/loans/schema"
    assert published.get("/ml/nothing")[0] == 404
    assert client.metric("slipway_requests_total", **counted) == before + 1


def test_the_path_without_its_slash_leads_to_the_page(start_client, monkeypatch) -> None:
    monkeypatch.setenv("SLIPWAY_ROOT_PATH", "/ml")
    status, headers, _ = Published(start_client(), "/ml", removes=False).get("/ml")
    assert (status, headers["location"]) == (307, "/ml/")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [("/ml", "/ml"), ("/ml/", "/ml"), ("/a, /b", "/a/b"), ("//evil.example", ""), ("/../x", ""), ("https://x", "")]
    + [("/a b", ""), ("/" + "a" * 300, ""), ("", ""), ('/"><script>', "")],
)
def test_a_trusted_proxy_may_name_the_path(start_client, trusting, sent: str, expected: str) -> None:
    published = Published(start_client(), "", x_forwarded_prefix=sent)
    assert published.json("/v1/models")["models"][0]["url"] == f"{expected}/v1/models/loans"
    assert published.json("/openapi.json").get("servers") == ([{"url": expected}] if expected else None)


def test_nobody_else_may(start_client, trusting, monkeypatch) -> None:
    client = start_client()
    for options in ({"peer": STRANGER}, {"peer": STRANGER, "x_forwarded_for": PROXY}):
        published = Published(client, "", x_forwarded_prefix="/evil", **options)
        assert published.json("/v1/models")["models"][0]["url"] == "/v1/models/loans"
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")
    published = Published(start_client(promote=False), "", x_forwarded_prefix="/evil")
    assert published.json("/v1/models")["models"][0]["url"] == "/v1/models/loans"


@pytest.mark.parametrize(
    "value", ["ml", "/a//b", "/..", "/a/./b", "/ä", "https://example.com/ml", "/v1", "/docs/x", "/a?b"]
)
def test_a_path_that_cannot_work_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        Settings(root_path=value)


def test_an_empty_path_is_none() -> None:
    assert (Settings(root_path="/").root_path, Settings(root_path="").root_path) == ("", "")
