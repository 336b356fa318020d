"""A real MLflow without our app delivers to a watch process: it reads the registry at once, and credits nobody."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from monitoring import watch
from monitoring.governance import registry_snapshot, registry_watcher
from monitoring.status.app import application
from slipway import audit
from slipway.clients.mlflow.registry import Registry
from slipway.settings import settings
from tests.support import bundles
from tests.support.servers import free_port, publish, unique_name
from tests.support.waiting import until

SECRET = "a secret of mlflow's webhook"
NEVER = 3600.0


@pytest.fixture
def watcher(mlflow_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[watch.Watcher]:
    """A watch process' parts, after their first pass over a model of two versions; no second pass is due."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("SLIPWAY_MLFLOW_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("SLIPWAY_SERVERS", "http://127.0.0.1:9")
    settings.cache_clear()
    monkeypatch.setattr(watch, "PASS_SECONDS", NEVER)
    monkeypatch.setattr(registry_watcher, "SETTLE_SECONDS", 0.0)
    bundles.write(tmp_path / "bundle")
    name = unique_name("loans")
    for _ in range(2):
        publish(mlflow_server, name, tmp_path / "bundle")
    found = watch.Watcher([name], settings())
    found.start()
    until(lambda: registry_snapshot.read(settings(), name) is not None)
    yield found
    found.stop()


@contextmanager
def listening(watcher: watch.Watcher) -> Iterator[int]:
    port = free_port()
    app = application(settings(), lambda: watcher.board, lambda: watcher.is_alive, watcher.hint)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield port
    server.should_exit = True
    thread.join(10)


def create_webhook(uri: str, name: str, port: int) -> str:
    """As docs/how-to/receive-mlflow-webhooks.md does with MLflow's client; returns its id."""
    events = [{"entity": "MODEL_VERSION_ALIAS", "action": action} for action in ("CREATED", "DELETED")]
    url = f"http://127.0.0.1:{port}/mlflow-webhook"
    return send(uri, "POST", "", {"name": name, "url": url, "secret": SECRET, "events": events})["webhook"][
        "webhook_id"
    ]


def send(uri: str, method: str, path: str, body: object = None) -> dict:
    content = json.dumps(body or {}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{uri}/api/2.0/mlflow/webhooks{path}", content, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_each_delivery_of_a_real_mlflow_has_the_move_seen_before_a_pass_is_due(
    watcher: watch.Watcher, mlflow_server: str
) -> None:
    [name], registry = watcher._names, Registry(mlflow_server)
    with listening(watcher) as port:
        id = create_webhook(mlflow_server, name, port)
        try:
            for number, version in enumerate(("1", "2", "1"), 1):
                registry.set_alias(name, "champion", version)
                until(lambda count=number: len(audit.lines(name)) == count)
            registry.delete_alias(name, "champion")
            until(lambda: len(audit.lines(name)) == 4)
            tested = send(mlflow_server, "POST", f"/{id}/test")["result"]
        finally:
            send(mlflow_server, "DELETE", f"/{id}")
    lines = audit.lines(name)
    assert [(line.action, line.who) for line in lines] == [("alias.moved", audit.UNKNOWN)] * 4
    assert [line.evidence["to"] for line in lines] == ["1", "2", "1", None]
    # MLflow's own test is about a model that is not watched
    assert (tested["success"], json.loads(tested["response_body"])["outcome"]) == (True, "ignored")
