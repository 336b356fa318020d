"""The local Prefect server is for who has its login, on this machine, and for its own page: tried on a real one."""

from __future__ import annotations

import base64
import http.client
from urllib.parse import urlsplit

import pytest

from tests.support.servers import PREFECT_LOGIN

EVIL = "https://evil.example"
SOME_ID = "00000000-0000-0000-0000-000000000000"
ROUTES = [
    ("GET", "/api/deployments/name/train/digits"),
    ("POST", "/api/deployments/filter"),
    ("PATCH", f"/api/deployments/{SOME_ID}"),
    ("POST", f"/api/deployments/{SOME_ID}/create_flow_run"),
    ("POST", "/api/flow_runs/filter"),
    ("GET", "/api/admin/settings"),
    ("GET", "/api/health/../deployments/name/train/digits"),
]


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


LOGIN = basic(PREFECT_LOGIN)
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": "prefect",
}


@pytest.fixture
def ask(prefect_server):
    """`ask(method, path, headers)` returns the status and the headers; `Host` and `Origin` may be any."""

    def ask(method: str, path: str, headers: dict[str, str], body: str | None = None):
        connection = http.client.HTTPConnection(urlsplit(prefect_server).netloc, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    return ask


@pytest.fixture
def own(prefect_server) -> str:
    return prefect_server.removesuffix("/api")


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [{}, basic("slipway:"), basic("slipway:wrong"), basic(PREFECT_LOGIN + " "), {"Authorization": "Bearer x"}],
    ids=["no credentials", "no password", "a wrong password", "a longer password", "a token"],
)
def test_nobody_without_the_login_is_answered(ask, method, path, headers):
    assert ask(method, path, headers)[0] == 401


def test_probes_need_no_login(ask):
    assert ask("GET", "/api/health", {})[0] == ask("GET", "/api/ready", {})[0] == 200


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:1", "http://127.0.0.1.evil.example", "", "file://"])
def test_a_page_of_another_origin_is_allowed_nothing(ask, origin):
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    status, headers = ask("OPTIONS", f"/api/deployments/{SOME_ID}", {"Origin": origin, **asked})
    assert (status, headers.get("access-control-allow-origin")) == (403, None)
    for method, path, body in (("POST", "/api/deployments/filter", "{}"), ("GET", "/api/health", None)):
        status, headers = ask(method, path, {"Origin": origin, "Content-Type": "text/plain", **LOGIN}, body)
        assert (status, headers.get("access-control-allow-origin")) == (403, None)


def test_its_own_page_may_use_it(ask, own):
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    status, headers = ask("OPTIONS", f"/api/deployments/{SOME_ID}", {"Origin": own, **asked})
    assert (status, headers["access-control-allow-origin"]) == (200, own)
    body = {"Origin": own, "Content-Type": "application/json", **LOGIN}
    assert ask("POST", "/api/deployments/filter", body, "{}")[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4200", "127.0.0.1.evil.example", "localhost.evil.example", "169.254.1.1", ""]
)
def test_a_name_that_is_not_this_machines_is_not_answered(ask, host):
    """A page whose own name was made to lead here (DNS rebinding) sends that name."""
    assert ask("GET", "/api/health", {"Host": host})[0] == 400
    assert ask("POST", "/api/deployments/filter", {"Host": host, **LOGIN}, "{}")[0] == 400


def test_this_machines_names_are_answered(ask, own):
    port = urlsplit(own).port
    assert {ask("GET", "/api/health", {"Host": f"{name}:{port}"})[0] for name in ("localhost", "127.0.0.1")} == {200}


@pytest.mark.parametrize("path", ["/api/events/in", "/api/events/out", "/api/logs/out"])
def test_a_websocket_is_for_the_servers_own_page(ask, own, path):
    """Browsers let any page open a WebSocket to any host, without a preflight."""
    assert ask("GET", path, {**WEBSOCKET, "Origin": EVIL})[0] == 403
    assert ask("GET", path, {**WEBSOCKET, "Host": "evil.example"})[0] == 400
    assert ask("GET", path, {**WEBSOCKET, "Origin": own})[0] == 101
