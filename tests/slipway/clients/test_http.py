from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from slipway.clients.http import HttpClient, download, is_healthy, is_loopback, proxy_for, request
from slipway.errors import ResponseTooLarge, ServiceError
from slipway.trace_context import read_traceparent, traced


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests.append((self.client_address, dict(self.headers)))
        if self.path == "/moved":
            self._respond(302, b"", Location="/there")
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        elif self.path == "/missing":
            self._respond(404, b"no such page")
        else:
            self._respond(200, self.path.encode())

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self._respond(200, json.dumps([self.headers["Content-Type"], json.loads(content)]).encode())

    def _respond(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_a_document_is_sent_as_json(url: str) -> None:
    response = request("POST", f"{url}/echo", document={"name": "Zoë"})
    assert response.ok and response.read(list) == ["application/json", {"name": "Zoë"}]


def test_a_request_hands_on_the_trace_that_it_is_made_in(server: ThreadingHTTPServer, url: str) -> None:
    request("GET", f"{url}/a")
    with traced("4bf92f3577b34da6a3ce929d0e0e4736"):
        request("GET", f"{url}/b")
        request("GET", f"{url}/c", headers={"traceparent": "the caller's own"})
    sent = [headers.get("traceparent") for _, headers in server.requests]
    assert (sent[0], sent[2]) == (None, "the caller's own")
    assert read_traceparent(str(sent[1]).encode()) == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_an_error_of_http_is_a_response(url: str) -> None:
    response = request("GET", f"{url}/missing")
    assert (response.status, response.content, response.ok) == (404, b"no such page", False)


def test_a_redirect_is_followed_only_where_it_is_allowed(url: str) -> None:
    assert request("GET", f"{url}/moved").status == 302
    assert request("GET", f"{url}/moved", follow_redirects=True).content == b"/there"
    with_password = url.replace("//", "//ann:secret@")
    assert request("GET", f"{with_password}/moved", follow_redirects=True).status == 302
    assert request("GET", f"{with_password}/there", follow_redirects=True).content == b"/there"


def test_a_response_larger_than_the_limit_is_refused(url: str) -> None:
    assert request("GET", f"{url}/12345", max_bytes=6).content == b"/12345"
    with pytest.raises(ResponseTooLarge, match="more than 5 bytes"):
        request("GET", f"{url}/12345", max_bytes=5)


def test_a_response_that_breaks_off_is_an_error(url: str) -> None:
    with pytest.raises(ServiceError, match="closed connection"):
        request("GET", f"{url}/cut")
    file = io.BytesIO()
    with pytest.raises(ServiceError, match="closed connection"):
        download(f"{url}/cut", file, max_bytes=1000)


def test_a_download_writes_the_content_and_nothing_of_an_error(url: str) -> None:
    file = io.BytesIO()
    assert download(f"{url}/data", file, max_bytes=1000) == 200
    assert download(f"{url}/missing", file, max_bytes=1000) == 404
    assert file.getvalue() == b"/data"


def test_a_server_that_does_not_answer_is_an_error_with_the_reason() -> None:
    with pytest.raises(ServiceError, match="refused"):
        request("GET", "http://127.0.0.1:9")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ServiceError, match="timed out"):
        request("GET", f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)


def test_a_url_that_is_none_is_an_error() -> None:
    with pytest.raises(ServiceError):
        request("GET", "http://[::1")


def test_health_is_a_status_below_400(url: str) -> None:
    assert is_healthy(f"{url}/fine") and is_healthy(f"{url}/moved")
    assert not is_healthy(f"{url}/missing")
    assert not is_healthy("http://127.0.0.1:9")


def test_a_client_keeps_its_connection_until_it_is_closed(server: ThreadingHTTPServer, url: str) -> None:
    client = HttpClient(url)
    client.request("GET", "/one")
    client.request("GET", "/two")
    client.close()
    client.request("GET", "/three")
    first, second, third = (address for address, _ in server.requests)
    assert first == second != third


def test_a_client_connects_to_the_address_that_it_is_given(server: ThreadingHTTPServer) -> None:
    client = HttpClient(f"http://models.example:{server.server_port}", address="127.0.0.1")
    assert client.request("GET", "/here").ok
    assert server.requests[0][1]["Host"] == f"models.example:{server.server_port}"


def test_this_machine_is_reached_without_the_proxy_of_the_environment(url: str, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert is_healthy(f"{url}/fine")
    with pytest.raises(ServiceError, match="refused"):
        request("GET", "http://models.example/")
    with pytest.raises(ServiceError, match=r"not known|resolution|No address"):
        HttpClient("http://models.invalid", use_proxy=False).request("GET", "/")


@pytest.mark.parametrize(("host", "expected"), [("localhost", True), ("::1", True), ("0.0.0.0", False), ("a", False)])
def test_loopback_is_recognized_by_name_or_address(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "localhost.", "mlflow.localhost", "[::1]", "0.0.0.0"]
    + [socket.gethostname()],
)
def test_no_name_or_address_of_this_machine_is_reached_through_a_proxy(host: str, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert proxy_for(f"http://{host}:5000/health") is None


@pytest.mark.parametrize(
    "excepted",
    ["*", "mlflow.example", ".example", "other.example, mlflow.example", "mlflow.example:5000", "10.0.0.0/8,fd00::/8"],
)
def test_what_no_proxy_names_is_reached_directly(excepted: str, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", excepted)
    hosts = ["10.1.2.3", "[fd00::7]"] if "/" in excepted else ["mlflow.example"]
    assert [proxy_for(f"http://{host}:5000") for host in hosts] == [None] * len(hosts)
    if excepted != "*":
        assert proxy_for("http://192.0.2.1:5000") == "http://proxy:3128"


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({"https_proxy": "http://proxy:3128"}, "https://models.example", "http://proxy:3128"),
        ({"https_proxy": "http://proxy:3128"}, "http://models.example", None),
        ({"HTTPS_PROXY": "proxy:3128"}, "https://models.example", "http://proxy:3128"),
        ({"all_proxy": "http://proxy:1"}, "https://models.example", "http://proxy:1"),
        ({"all_proxy": "http://proxy:1", "http_proxy": "http://proxy:2"}, "http://models.example", "http://proxy:2"),
        ({"http_proxy": ""}, "http://models.example", None),
    ],
)
def test_other_addresses_are_reached_through_the_proxy_that_the_environment_names(
    variables: dict[str, str], url: str, expected: str | None, monkeypatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == expected


def test_an_error_names_the_proxy_that_the_request_went_through(monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://ann:secret@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ServiceError, match=r"refused \(through the proxy http://127\.0\.0\.1:9\)") as refused:
        request("GET", "http://models.example/")
    assert "secret" not in str(refused.value)
    with pytest.raises(ServiceError) as direct:
        request("GET", "http://127.0.0.1:9/")
    assert "proxy" not in str(direct.value)


def test_a_proxy_that_needs_another_package_is_an_error_that_names_it(monkeypatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("http_proxy", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ServiceError, match="socksio"):
        request("GET", "http://models.example/")
