"""MLflow's login inside our app, on a real server: who made a change is proven, moving `champion` is a role."""

from __future__ import annotations

import base64
import json
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway import audit
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import OVERRIDE, REFUSED
from slipway.errors import RegistryError, SettingsError
from slipway.local import LocalServices
from slipway.settings import settings
from tests.support import bundles, sharing
from tests.support.servers import free_port, publish, start_mlflow_app, unique_name

PASSWORD = "the tests' own password"
DECISIVE = [OVERRIDE, REFUSED, "slipway.canary_weight", "slipway.bundle_sha256"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server with logins; `ann` has the role `promoter`, `bob` may change every model, and `cid` may read."""
    folder = tmp_path_factory.mktemp("login")
    login = {"SLIPWAY_MLFLOW_LOGIN": "true", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}
    pid, uri = start_mlflow_app(folder, f"http://127.0.0.1:{free_port()}", login)
    try:
        roles = {role["name"]: role["id"] for role in call(uri, "admin", "GET", "roles/list", version=3)["roles"]}
        new = call(uri, "admin", "POST", "roles/create", {"name": "editors", "workspace": "default"}, version=3)["role"]
        grant = {"role_id": new["id"], "resource_type": "registered_model", "resource_pattern": "*"}
        call(uri, "admin", "POST", "roles/permissions/add", grant | {"permission": "MANAGE"}, version=3)
        for user, role in (("ann", roles["promoter"]), ("bob", new["id"]), ("cid", None)):
            call(uri, "admin", "POST", "users/create", {"username": user, "password": PASSWORD})
            if role:
                call(uri, "admin", "POST", "roles/assign", {"username": user, "role_id": role}, version=3)
        yield uri, folder
    finally:
        sharing.end(pid)


def call(uri: str, user: str, method: str, route: str, body: Any = None, version: int = 2) -> Any:
    pair = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {pair}"}
    content = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"{uri}/api/{version}.0/mlflow/{route}", content, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.fixture
def become(server, monkeypatch):
    """`become("ann")` is the registry as that user, whose audit this test reads."""
    uri, folder = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    monkeypatch.setenv("SLIPWAY_LOG_URL", str(folder / "var" / "log"))
    settings.cache_clear()

    def become(user: str) -> Registry:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        return Registry(uri, 60)

    return become


@pytest.fixture(scope="module")
def published(server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with two versions; MLflow hashes the password anew for each request, so all tests share it."""
    folder, name = tmp_path_factory.mktemp("bundles"), unique_name("loans")
    for bias in (0.0, 0.1):
        bundles.write(folder / str(bias), bias=bias)
        bundles.rename(folder / str(bias), name)
        publish(server[0], name, folder / str(bias), login=f"admin:{PASSWORD}")
    return name


@pytest.fixture
def name(become, published) -> str:
    """The model, whose champion ann has made."""
    become("ann").set_alias(published, "champion", "1")
    return published


def test_the_audit_has_the_user_of_each_change(become, name):
    before = audit.lines(name)
    become("ann").set_alias(name, "champion", "2")
    become("bob").set_alias(name, "challenger", "2")
    become("admin").delete_alias(name, "champion")
    become("bob").delete_alias(name, "challenger")
    lines = audit.lines(name)[len(before) :]
    assert [(line.who, line.evidence["alias"], line.evidence["login"]) for line in lines] == [
        ("ann", "champion", True),
        ("bob", "challenger", True),
        ("admin", "champion", True),
        ("bob", "challenger", True),
    ]


def test_who_has_not_the_role_may_not_decide_what_answers_callers(become, name):
    registry, before = become("bob"), audit.lines(name)
    reason = "bob may not .* of .*: that needs the role 'promoter', which an administrator gives"
    for alias in ("champion", "canary"):
        with pytest.raises(RegistryError, match=reason):
            registry.set_alias(name, alias, "2")
    with pytest.raises(RegistryError, match=reason):
        registry.delete_alias(name, "champion")
    for tag in DECISIVE:
        with pytest.raises(RegistryError, match=reason):
            registry.set_version_tag(name, "2", tag, "bob: I want it")
    with pytest.raises(RegistryError, match=reason):
        registry.set_model_tag(name, "slipway.canary", '{"version": "2", "weight": 100}')
    for route, body in (("model-versions", {"version": "1"}), ("registered-models", {})):
        with pytest.raises(urllib.error.HTTPError) as raised:
            call(registry.uri, "bob", "DELETE", f"{route}/delete", {"name": name, **body})
        assert (raised.value.code, json.loads(raised.value.read())["error_code"]) == (400, "PERMISSION_DENIED")
    assert registry.model(name).aliases == {"champion": "1"}
    assert audit.lines(name) == before


def test_who_may_only_read_or_has_no_login_changes_nothing(become, name, server):
    before = audit.lines(name)
    for user in ("cid", "nobody"):
        with pytest.raises(RegistryError):
            become(user).set_alias(name, "challenger", "2")
    request = urllib.request.Request(f"{server[0]}/api/2.0/mlflow/registered-models/alias", b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=60)
    assert raised.value.code == 401
    assert become("admin").model(name).aliases == {"champion": "1"}
    assert audit.lines(name) == before


def test_the_files_of_the_login_are_its_owners(server):
    from slipway.local.logins import read_login

    folder = server[1] / "var" / "mlflow"
    assert stat.S_IMODE((folder / "forms.key").stat().st_mode) == 0o600
    local = LocalServices(server[1], Path("usecases"), dict.fromkeys(("mlflow", "prefect"), 5000), mlflow_login=True)
    user, _, password = read_login(server[1], "mlflow").partition(":")
    assert local.mlflow().env["MLFLOW_AUTH_ADMIN_PASSWORD"] == local.env["MLFLOW_TRACKING_PASSWORD"] == password
    assert local.mlflow().env["MLFLOW_AUTH_ADMIN_USERNAME"] == local.env["MLFLOW_TRACKING_USERNAME"] == user
    assert local.mlflow().env["SLIPWAY_MLFLOW_LOGIN"] == "true"


def test_a_login_without_a_password_for_its_administrator_is_refused():
    from monitoring.mlflow_app.login import prepare

    with pytest.raises(SettingsError, match="set MLFLOW_AUTH_ADMIN_PASSWORD, too"):
        prepare(settings(), {"MLFLOW_AUTH_ADMIN_PASSWORD": ""})
