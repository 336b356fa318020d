"""Behaviour of BentoML and uvicorn that docs/decisions/0001 relies on. After a failure, read that page."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys

import bentoml
import pytest

from tests.bentos.server.processes import ROOT

HARDENED = "bentos.server.protocol:HardenedProtocol"
FAST_PATH = "bentos.fast_path.protocol:FastPathProtocol"
AFTER_AN_UPGRADE = "an upgrade changed what our application around BentoML relies on: see docs/decisions/0001"


def test_a_service_may_be_of_a_custom_class():
    assert "service_class" in inspect.signature(bentoml.service).parameters, AFTER_AN_UPGRADE
    assert "is_main" in inspect.signature(bentoml.Service.to_asgi).parameters, AFTER_AN_UPGRADE
    assert "__dict__" not in dir(bentoml.Service), f"Service has no slots any more; {AFTER_AN_UPGRADE}"


def test_a_worker_serves_the_application_of_to_asgi_with_uvicorns_choice_of_protocol():
    from _bentoml_impl.worker import service as worker

    source = inspect.getsource(worker)
    assert "service.to_asgi(is_main=" in source, AFTER_AN_UPGRADE
    assert "uvicorn.Config(" in source, AFTER_AN_UPGRADE
    assert "http=" not in source, f"BentoML chooses the HTTP protocol itself; {AFTER_AN_UPGRADE}"
    assert "app=asgi_app" in source, AFTER_AN_UPGRADE


def test_a_worker_knows_that_it_is_one():
    from bentoml._internal.context import server_context

    assert server_context.worker_index is None, AFTER_AN_UPGRADE


def test_uvicorn_takes_the_protocol_that_is_registered_and_uvloop(monkeypatch):
    import uvicorn
    import uvloop
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    assert uvicorn.config.HTTP_PROTOCOLS["auto"] == "uvicorn.protocols.http.auto:AutoHTTPProtocol", AFTER_AN_UPGRADE
    for ours in (HARDENED, FAST_PATH):
        monkeypatch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", ours)
        config = uvicorn.Config(lambda: None)
        config.load()
        assert issubclass(config.http_protocol_class, HttpToolsProtocol), AFTER_AN_UPGRADE
        assert config.http_protocol_class.__name__ == ours.partition(":")[2], AFTER_AN_UPGRADE
    assert config.get_loop_factory() is uvloop.new_event_loop, AFTER_AN_UPGRADE
    parameters = list(inspect.signature(HttpToolsProtocol.send_400_response).parameters)
    assert parameters == ["self", "msg"], AFTER_AN_UPGRADE


def test_uvicorn_passes_the_lifespan_state_to_the_protocols():
    import uvicorn
    from uvicorn.lifespan.on import LifespanOn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    assert "app_state=self.lifespan.state" in inspect.getsource(uvicorn.server.Server), AFTER_AN_UPGRADE
    assert '"state": self.state' in inspect.getsource(LifespanOn), AFTER_AN_UPGRADE
    parameters = list(inspect.signature(HttpToolsProtocol.__init__).parameters)
    assert parameters == ["self", "config", "server_state", "app_state", "_loop"], AFTER_AN_UPGRADE


def test_uvicorn_keeps_the_connection_state_that_shows_a_request_in_flight():
    from uvicorn.protocols.http import httptools_impl

    protocol = inspect.getsource(httptools_impl.HttpToolsProtocol)
    for name in ("self.cycle:", "self.headers:", "self.timeout_keep_alive_task:", "self.loop =", "self.transport"):
        assert name in protocol, AFTER_AN_UPGRADE
    assert "self.parser = None" in inspect.getsource(httptools_impl.HttpToolsProtocol.connection_lost), AFTER_AN_UPGRADE
    for name in ("self.connections = server_state.connections", "self.pipeline: deque", "self.pipeline.appendleft("):
        assert name in protocol, AFTER_AN_UPGRADE
    cycle = inspect.getsource(httptools_impl.RequestResponseCycle)
    for name in ("more_body", "response_started", "response_complete", "disconnected", "keep_alive"):
        assert f"self.{name} =" in cycle, AFTER_AN_UPGRADE
    assert "self.expected_content_length -= num_bytes" in cycle, AFTER_AN_UPGRADE


def test_uvicorn_calls_the_overridden_methods_for_upgrades_paths_and_ends_of_bodies():
    from uvicorn.protocols.http import httptools_impl

    source = inspect.getsource(httptools_impl)
    for words in ("self._should_upgrade()", "except httptools.HttpParserUpgrade:", 'self.scope["raw_path"]'):
        assert words in source, AFTER_AN_UPGRADE
    methods = ("data_received(self, data: bytes)", "on_header(self, name: bytes, value: bytes)")
    methods += ("on_headers_complete(self)", "on_body(self, body: bytes)", "on_message_complete(self)")
    for method in methods:
        assert f"def {method} -> None:" in source, AFTER_AN_UPGRADE


def test_uvicorn_logs_invalid_http_with_the_words_that_we_leave_out():
    from uvicorn.protocols.http import httptools_impl

    assert 'msg = "Invalid HTTP request received."' in inspect.getsource(httptools_impl), AFTER_AN_UPGRADE


def test_uvicorns_protocol_has_the_methods_that_we_override() -> None:
    """Check what bentos/fast_path/protocol.py overrides, reads and calls: see docs/decisions/0006."""
    import uvicorn
    from uvicorn.protocols.http import httptools_impl

    Protocol = httptools_impl.HttpToolsProtocol
    ours = {name: getattr(Protocol, name) for name in ("on_headers_complete", "on_body", "on_message_complete")}
    ours |= {name: getattr(Protocol, name) for name in ("data_received", "timeout_keep_alive_handler", "shutdown")}
    plain = dict.fromkeys(ours, inspect.getsource(httptools_impl))
    assert "self.url" in plain["on_headers_complete"], AFTER_AN_UPGRADE
    assert "self.expect_100_continue" in plain["on_headers_complete"], AFTER_AN_UPGRADE
    assert "existing_cycle is None or existing_cycle.response_complete" in plain["on_headers_complete"], (
        AFTER_AN_UPGRADE
    )
    assert "self._unset_keepalive_if_required()" in plain["data_received"], AFTER_AN_UPGRADE
    assert "self.cycle is None or self.cycle.response_complete" in plain["shutdown"], AFTER_AN_UPGRADE
    completed = inspect.getsource(Protocol.on_response_complete)
    for name in ("self.server_state.total_requests += 1", "self.timeout_keep_alive_task = ", "self.pipeline"):
        assert name in completed, AFTER_AN_UPGRADE
    assert "default_headers" in inspect.getsource(uvicorn.server.ServerState), AFTER_AN_UPGRADE
    assert "__slots__" not in vars(Protocol), AFTER_AN_UPGRADE


def test_swagger_ui_is_where_the_documents_page_reads_it():
    from bentos.api import api_docs

    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert name in api_docs.MEDIA_TYPES
        assert (api_docs.FOLDER / name).stat().st_size > 10_000, AFTER_AN_UPGRADE


PROBE = """
import json, os, sys
from uvicorn.config import HTTP_PROTOCOLS
from bentos.service import slipway
from bentoml._internal.configuration.containers import BentoMLContainer as c
app = slipway.to_asgi(is_main=True)
server = c.api_server_config
print(json.dumps({
    "trusted proxies": os.environ["FORWARDED_ALLOW_IPS"],
    "application": type(app).__module__,
    "protocol": HTTP_PROTOCOLS["auto"],
    "behind": type(app._behind).__module__,
    "import": slipway.import_string,
    "metrics": server.metrics.enabled.get(),
    "access log": server.logging.access.enabled.get(),
    "address": [c.http.host.get(), c.http.port.get()],
    "workers": c.config.services["slipway"].get()["workers"],
    "tracing": c.config.tracing.exporter_type.get(),
    "heavy": sorted({"tensorflow", "mlflow", "pandas", "pyarrow", "duckdb", "sklearn"} & set(sys.modules)),
}))
"""


@pytest.fixture(scope="module")
def configured(tmp_path_factory) -> dict:
    home = tmp_path_factory.mktemp("home")
    ours = {
        "SLIPWAY_SERVE": "loans",
        "SLIPWAY_WORKERS": "3",
        "SLIPWAY_SERVICE_PORT": "3456",
        "SLIPWAY_HOST": "localhost",
    }
    ended = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=ROOT,
        env={**os.environ, "BENTOML_HOME": str(home), **ours},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, f"{AFTER_AN_UPGRADE}\n{ended.stderr}"
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
def test_our_application_wraps_bentomls(configured):
    assert configured["application"] == "bentos.api.application", AFTER_AN_UPGRADE
    assert configured["protocol"] == FAST_PATH
    assert configured["behind"].startswith("starlette"), AFTER_AN_UPGRADE
    assert configured["import"] == "bentos.service:slipway", AFTER_AN_UPGRADE


@pytest.mark.slow
def test_no_proxy_is_trusted_unless_a_variable_names_it(configured):
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    assert configured["trusted proxies"] == ""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["client"][0])

    for trusted in (configured["trusted proxies"], "10.0.0.0/8"):
        for client in ("127.0.0.1", "::1", "10.0.0.1", "192.168.0.7"):
            scope = {"type": "http", "client": (client, 1), "headers": [(b"x-forwarded-for", b"203.0.113.7")]}
            asyncio.run(ProxyHeadersMiddleware(app, trusted)(scope, None, None))
    assert seen[:4] == ["127.0.0.1", "::1", "10.0.0.1", "192.168.0.7"], AFTER_AN_UPGRADE
    assert seen[4:] == ["127.0.0.1", "::1", "203.0.113.7", "192.168.0.7"], AFTER_AN_UPGRADE


@pytest.mark.slow
def test_bentoml_applies_our_settings_and_writes_no_access_log(configured):
    assert configured["workers"] == 3, AFTER_AN_UPGRADE
    assert configured["address"] == ["127.0.0.1", 3456], AFTER_AN_UPGRADE
    assert configured["metrics"] is False, AFTER_AN_UPGRADE
    assert configured["access log"] is False, AFTER_AN_UPGRADE
    assert configured["tracing"] is None, AFTER_AN_UPGRADE


@pytest.mark.slow
def test_a_server_imports_nothing_heavy(configured):
    assert configured["heavy"] == []
