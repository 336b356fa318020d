"""MLflow's login inside our app, on a real server: who made a change is proven, moving `champion` is a role."""

from __future__ import annotations

import base64
import configparser
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
SERVICES = ("serving", "watch", "flow-run")
DECISIVE = [OVERRIDE, REFUSED, "slipway.canary_weight", "slipway.bundle_sha256", "slipway.serving.local"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server with logins and the services' users; `ann` has the role `promoter`, `bob` may change every model, and
    `cid` may read."""
    folder = tmp_path_factory.mktemp("login")
    (folder / "services").mkdir()
    for service in SERVICES:
        (folder / "services" / service).write_text(PASSWORD)
    login = {"SLIPWAY_MLFLOW_LOGIN": "true", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}
    login["SLIPWAY_MLFLOW_USERS"] = str(folder / "services")
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
    for file in ("forms.key", "login.ini", "login.db"):
        assert stat.S_IMODE((folder / file).stat().st_mode) == 0o600, file
    local = LocalServices(server[1], Path("usecases"), dict.fromkeys(("mlflow", "prefect"), 5000), mlflow_login=True)
    user, _, password = read_login(server[1], "mlflow").partition(":")
    assert local.mlflow().env["MLFLOW_AUTH_ADMIN_PASSWORD"] == local.env["MLFLOW_TRACKING_PASSWORD"] == password
    assert local.mlflow().env["MLFLOW_AUTH_ADMIN_USERNAME"] == local.env["MLFLOW_TRACKING_USERNAME"] == user
    assert local.mlflow().env["SLIPWAY_MLFLOW_LOGIN"] == "true"


def test_a_login_without_a_password_for_its_administrator_is_refused():
    from monitoring.mlflow_app.login import prepare

    with pytest.raises(SettingsError, match="set MLFLOW_AUTH_ADMIN_PASSWORD, too"):
        prepare(settings(), {"MLFLOW_AUTH_ADMIN_PASSWORD": ""})


Deed = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def deeds(server: tuple[str, Path], published: str) -> dict[str, Deed]:
    """Requests by what they do, as method, route and body; each can be sent by several users."""
    uri, name = server[0], published
    run = call(uri, "admin", "POST", "runs/create", {"experiment_id": "0"})["run"]["info"]
    old = call(uri, "admin", "POST", "runs/create", {"experiment_id": "0"})["run"]["info"]
    second = {"name": name, "version": "2"}
    alias = {"method": "POST", "route": "registered-models/alias"}.values()
    return {
        "read": ("GET", f"registered-models/get?name={name}", {}),
        "write a run": ("POST", "runs/create", {"experiment_id": "0"}),
        "measure": ("POST", "runs/log-metric", {"run_id": run["run_id"], "key": "a", "value": 1.0, "timestamp": 1}),
        "delete a run": ("POST", "runs/delete", {"run_id": old["run_id"]}),
        "make an experiment": ("POST", "experiments/create", {}),
        "make a model": ("POST", "registered-models/create", {}),
        "describe a model": ("PATCH", "registered-models/update", {"name": name, "description": "Loans"}),
        "register": (
            "POST",
            "model-versions/create",
            {"name": name, "source": run["artifact_uri"], "run_id": run["run_id"]},
        ),
        "register as served": (
            "POST",
            "model-versions/create",
            {
                "name": name,
                "source": run["artifact_uri"],
                "run_id": run["run_id"],
                "tags": [{"key": "slipway.serving.local", "value": "replaced: by nobody"}],
            },
        ),
        "challenger": (*alias, second | {"alias": "challenger"}),
        "champion": (*alias, second | {"alias": "champion"}),
        "canary": (*alias, second | {"alias": "canary"}),
        "lose challenger": ("DELETE", "registered-models/alias", {"name": name, "alias": "challenger"}),
        "override": ("POST", "model-versions/set-tag", second | {"key": OVERRIDE, "value": "eve: I want it"}),
        "refuse": ("POST", "model-versions/set-tag", second | {"key": "slipway.serving.x", "value": "refused: no"}),
        "delete a version": ("DELETE", "model-versions/delete", {"name": name, "version": "1"}),
        "make a user": ("POST", "users/create", {"username": "eve", "password": PASSWORD}),
        "set a password": ("PATCH", "users/update-password", {"username": "ann", "password": PASSWORD}),
        "be an administrator": ("PATCH", "users/update-admin", {"username": "watch", "is_admin": True}),
    }


READING = {"read"}
TRAINING = READING | {"write a run", "measure", "make an experiment", "make a model", "describe a model", "register"}
TRAINING |= {"challenger", "delete a run"}
PROMOTING = TRAINING - {"delete a run"} | {
    "champion",
    "canary",
    "override",
    "refuse",
    "register as served",
    "lose challenger",
}


@pytest.mark.parametrize(("user", "may"), [("serving", READING), ("flow-run", TRAINING), ("watch", PROMOTING)])
def test_a_service_may_do_what_it_needs_and_nothing_else(server, deeds, user, may):
    done = set()
    for deed, (method, route, body) in deeds.items():
        if deed == "delete a version" and user == "watch":
            continue  # it may: MLflow has no right to move an alias without it, and the tests need the version
        try:
            call(
                server[0],
                user,
                method,
                route,
                body | ({"name": unique_name("new")} if deed.startswith("make a") else {}),
            )
        except urllib.error.HTTPError as error:
            content = error.read().decode()
            assert error.code == 403 or "PERMISSION_DENIED" in content, (deed, error.code, content)
        else:
            done.add(deed)
    assert done == may


def test_a_service_that_only_reads_is_told_why_it_makes_nothing(server):
    for route in ("experiments/create", "registered-models/create"):
        with pytest.raises(urllib.error.HTTPError) as raised:
            call(server[0], "serving", "POST", route, {"name": unique_name("new")})
        assert raised.value.code == 403
        assert "serving has the role 'reader', and may only read" in json.loads(raised.value.read())["message"]


def test_a_start_sets_the_passwords_that_are_configured_and_keeps_what_people_were_given(become, name, server):
    """Do what a start does, in the database of the running server."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    from monitoring.mlflow_app import users

    store = SqlAlchemyStore()
    store.init_db(f"sqlite:///{server[1]}/var/mlflow/login.db")
    for user in ("flow-run", "admin"):
        body = {"username": user, "password": f"{PASSWORD}!", "current_password": PASSWORD}
        call(server[0], "admin", "PATCH", "users/update-password", body)
        assert not store.authenticate_user(user, PASSWORD)
    become("ann").set_alias(name, "champion", "2")  # the server's own requests are not the administrator's
    before = [(user.username, sorted(role.name for role in roles)) for user, roles in store.list_users_with_roles()]
    users.ensure_roles(store)
    users.ensure_user(store, "admin", PASSWORD)
    users.ensure_user(store, "flow-run", PASSWORD, users.TRAINER)
    assert store.authenticate_user("admin", PASSWORD) and store.authenticate_user("flow-run", PASSWORD)
    after = [(user.username, sorted(role.name for role in roles)) for user, roles in store.list_users_with_roles()]
    assert after == before
    with pytest.raises(SettingsError, match="the password of MLflow's user watch is not accepted: .* 12 characters"):
        users.ensure_user(store, "watch", "short", users.PROMOTER)
    for password in (f"{PASSWORD}\n", f" {PASSWORD}"):
        with pytest.raises(SettingsError, match="watch begins or ends with a space or a line break"):
            users.ensure_user(store, "watch", password, users.PROMOTER)


def test_files_of_passwords_are_of_services_only(tmp_path):
    from monitoring.mlflow_app.users import read_passwords

    with pytest.raises(SettingsError, match="SLIPWAY_MLFLOW_USERS=.*none is no folder"):
        read_passwords(tmp_path / "none")
    (tmp_path / "..data").mkdir()  # as Kubernetes mounts a Secret
    (tmp_path / "..data" / "watch").write_text(PASSWORD)
    (tmp_path / "watch").symlink_to("..data/watch")
    assert read_passwords(tmp_path) == {"watch": PASSWORD}
    (tmp_path / "ann").write_text(PASSWORD)
    with pytest.raises(SettingsError, match="ann is no service; services are serving, watch, flow-run"):
        read_passwords(tmp_path)
    (tmp_path / "ann").rename(tmp_path / "serving")
    for content in (b"\xff", b"x" * 5000):
        (tmp_path / "serving").write_bytes(content)
        with pytest.raises(SettingsError, match="is no folder of services' passwords"):
            read_passwords(tmp_path)


@pytest.mark.parametrize(
    ("tables", "database"),
    [
        ("postgresql://mlflow:a%25b@db/mlflow", "postgresql://mlflow:a%25b@db/mlflow"),
        ("postgresql+psycopg2://db/mlflow?sslmode=require", "postgresql+psycopg2://db/mlflow?sslmode=require"),
        ("sqlite:////var/lib/slipway/mlflow.db", "sqlite:///{folder}/login.db"),
        ("", "sqlite:///{folder}/login.db"),
        ("file:///var/lib/slipway/runs", "sqlite:///{folder}/login.db"),
    ],
)
def test_users_are_kept_where_the_tables_of_several_replicas_are(tmp_path, monkeypatch, tables, database):
    from monitoring.mlflow_app.login import prepare

    monkeypatch.setenv("SLIPWAY_VAR", str(tmp_path))
    settings.cache_clear()
    environment = {"MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD, "_MLFLOW_SERVER_FILE_STORE": tables}
    prepare(settings(), environment)
    path = Path(environment["MLFLOW_AUTH_CONFIG_PATH"])
    written = configparser.ConfigParser()
    written.read(path)
    assert written["mlflow"]["database_uri"] == database.format(folder=tmp_path / "mlflow")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = {"MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}
    prepare(settings(), again)
    own = "MLFLOW_TRACKING_PASSWORD"
    assert again[own] == environment[own] != PASSWORD
