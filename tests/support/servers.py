"""Real servers for tests: one MLflow for the whole run, and a model version put into it over plain HTTP.

The fixture is shared by everything that talks to a registry: starting one takes 10 seconds, so nobody starts a second.
Tests name their registered models apart (`unique_name`) and never delete them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from slipway.clients.mlflow.registry import Registry
from tests.support import sharing

PREFECT_LOGIN = "slipway:of the tests' server"
START_SECONDS = 120  # measured 10 to 14 alone; the machine may be busy with other tests


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unique_name(prefix: str) -> str:
    """Return a name of a use case that no other test of this session has."""
    return f"{prefix}_{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Provide the address of a real MLflow server on SQLite that proxies its artifacts, as on a laptop."""
    return sharing.started(tmp_path_factory, "mlflow", _start_mlflow)


@pytest.fixture(scope="session")
def mlflow_app_server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Provide the address of a real MLflow server with our app around it, without a login, as on a laptop.

    Its audit lines are in `audit_of_the_app(tmp_path_factory)`.
    """
    return sharing.started(tmp_path_factory, "mlflow-app", _start_mlflow_app)


def audit_of_the_app(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of `mlflow_app_server` that SLIPWAY_LOG_URL is to name."""
    return sharing.of_the_run(factory) / "shared-mlflow-app" / "var" / "log"


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Provide the address of a real Prefect server's API on SQLite, as on a laptop: with a login, which
    every test has in its environment, and one origin. Tests use distinct names of deployments."""
    return sharing.started(tmp_path_factory, "prefect", _start_prefect)


@contextmanager
def asking(prefect: str) -> Iterator[None]:
    """Have Prefect's client use the API at this URL, that of `prefect_server`."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect, PREFECT_API_AUTH_STRING: PREFECT_LOGIN}):
        yield


def _start_mlflow(folder: Path) -> sharing.Started:
    uri = f"http://127.0.0.1:{free_port()}"
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "1"}
    # Webhooks may lead to this machine, and a new one is known at once
    env |= {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
    env |= {"MLFLOW_WEBHOOK_CACHE_TTL": "0"}
    return _start(_mlflow_command(folder, uri), folder, env, f"{uri}/health"), uri


def _start_mlflow_app(folder: Path) -> sharing.Started:
    return start_mlflow_app(folder, f"http://127.0.0.1:{free_port()}", {})


def start_mlflow_app(folder: Path, uri: str, more: Mapping[str, str]) -> sharing.Started:
    """Start MLflow at `uri` with our app around it; `more` are further variables."""
    env = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "DO_NOT_TRACK": "1",
        "SLIPWAY_MLFLOW_PORT": uri.rpartition(":")[2],
    }
    env |= {"SLIPWAY_VAR": str(folder / "var"), "SLIPWAY_LOG_URL": str(folder / "var" / "log"), **more}
    command = [*_mlflow_command(folder, uri), "--app-name=slipway"]
    return _start(command, folder, env, f"{uri}/health"), uri


def _mlflow_command(folder: Path, uri: str) -> list[str]:
    store = [f"--backend-store-uri=sqlite:///{folder}/mlflow.db", f"--artifacts-destination={folder}/artifacts"]
    address = ["--host=127.0.0.1", f"--port={uri.rsplit(':', 1)[1]}"]
    return [sys.executable, "-m", "mlflow", "server", "--workers=1", "--serve-artifacts", *store, *address]


def _start_prefect(folder: Path) -> sharing.Started:
    port = free_port()
    app = ["--factory", "pipelines.prefect_app:create_app", "--lifespan=on", "--log-level=error"]
    command = [sys.executable, "-m", "uvicorn", *app, "--host=127.0.0.1", f"--port={port}"]
    database = f"sqlite+aiosqlite:///{folder}/prefect.db"
    env = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database, "PREFECT_HOME": str(folder), "PREFECT_UI_ENABLED": "0"}
    env |= {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}  # as Prefect's own test harness starts it
    origin = f"http://127.0.0.1:{port}"
    env |= {"PREFECT_SERVER_API_AUTH_STRING": PREFECT_LOGIN, "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origin}
    return _start(command, folder, env, f"{origin}/api/health"), f"{origin}/api"


def _start(command: list[str], folder: Path, env: dict[str, str], health: str) -> int:
    """Return the pid of the server, once it answers at `health`."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=os.environ | env,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(process, health, log)
    except BaseException:
        sharing.end(process.pid)
        raise
    return process.pid


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"the server did not start in {START_SECONDS} s:\n{log.read_text()[-2000:]}")


def publish(
    uri: str,
    name: str,
    bundle: Path,
    tags: Mapping[str, str] | None = None,
    artifacts: Mapping[str, Path] | None = None,
    login: str | None = None,
) -> str:
    """Log `bundle` (a directory) and further `artifacts` (path in the run: file) to a new run, and register it.

    Returns the new version of the registered model `name`, which is made when there is none; `login` is
    `USER:PASSWORD`. The tag `slipway.bundle_sha256` is the digest of the bundle's manifest, as the pipeline's
    `register` writes it.
    """
    created = _call(uri, "POST", "runs/create", {"experiment_id": "0", "start_time": int(time.time() * 1000)}, login)
    run = created["run"]["info"]
    proxied = run["artifact_uri"].removeprefix("mlflow-artifacts:/").lstrip("/")
    files = {f"bundle/{p.relative_to(bundle).as_posix()}": p for p in bundle.rglob("*") if p.is_file()}
    for path, file in {**files, **(artifacts or {})}.items():
        _send(uri, "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{proxied}/{path}", file.read_bytes(), login)
    try:
        _call(uri, "POST", "registered-models/create", {"name": name}, login)
    except urllib.error.HTTPError as error:
        if b"RESOURCE_ALREADY_EXISTS" not in error.read():
            raise
    tags = {"slipway.bundle_sha256": _manifest_digest(bundle), **(tags or {})}
    version = _call(
        uri,
        "POST",
        "model-versions/create",
        {
            "name": name,
            "source": f"{run['artifact_uri']}/bundle",
            "run_id": run["run_id"],
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        },
        login,
    )
    return version["model_version"]["version"]


def run_document(registry: Registry, run_id: str) -> dict:
    """Return all of a run, where `Registry.run` reads what Slipway uses."""
    return registry._get(dict, "runs/get", run_id=run_id)["run"]


def _manifest_digest(bundle: Path) -> str:
    return hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def _call(uri: str, method: str, route: str, body: object, login: str | None) -> dict:
    return json.loads(_send(uri, method, f"/api/2.0/mlflow/{route}", json.dumps(body).encode(), login))


def _send(uri: str, method: str, path: str, body: bytes, login: str | None) -> bytes:
    headers = {"Content-Type": "application/json"}
    if login:
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    request = urllib.request.Request(uri + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()
