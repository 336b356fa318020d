"""Our app around MLflow's server, on a real one without a login: what it writes down, and what it refuses."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slipway import audit
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.bundle import signing
from slipway.contracts.registry_names import BUNDLE_SHA256, OVERRIDE, REFUSED
from slipway.contracts.schema import Feature
from slipway.errors import BundleError, NotFound, RegistryError, ServiceError, SettingsError
from slipway.settings import settings
from tests.support import bundles
from tests.support.servers import audit_of_the_app, publish, unique_name
from tests.support.signed import key_pair

ROUTES = ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow")


@dataclass
class Model:
    """A registered model of the server with our app."""

    name: str
    registry: Registry
    folder: Path

    def publish(self, tags: dict[str, str] | None = None, schema: Any = bundles.TABULAR, **options: Any) -> str:
        directory = self.folder / str(len(list(self.folder.iterdir())))
        usecase, content = options.pop("usecase", self.name), options.pop("content", {})
        bundles.write(directory, **options)
        schema.save(directory / "serve" / "schema.json")
        for name, broken in content.items():
            (directory / name).write_bytes(broken)
        bundles.rename(directory, usecase)
        return publish(self.registry.uri, self.name, directory, tags)

    @property
    def aliases(self) -> dict[str, str]:
        return self.registry.model(self.name).aliases

    def lines(self) -> list[tuple[str, str | None, str]]:
        return [(line.action, line.version, line.who) for line in audit.lines(self.name)]

    def last(self) -> dict[str, Any]:
        return audit.lines(self.name)[-1].evidence

    def send(self, method: str, path: str, body: bytes, content_type: str = "application/json") -> tuple[int, Any]:
        headers = {"Content-Type": content_type}
        request = urllib.request.Request(self.registry.uri + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture
def model(mlflow_app_server, tmp_path, tmp_path_factory, monkeypatch) -> Model:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_app_server)
    monkeypatch.setenv("SLIPWAY_LOG_URL", str(audit_of_the_app(tmp_path_factory)))
    settings.cache_clear()
    (tmp_path / "bundles").mkdir()
    return Model(unique_name("loans"), Registry(mlflow_app_server, 60), tmp_path / "bundles")


def failed(model: Model) -> str:
    return model.publish(passed=False)


def refused(model: Model) -> str:
    return model.publish({REFUSED: "it was rolled back."})


def overridden_by_nobody(model: Model) -> str:
    return model.publish({OVERRIDE: "I like it"}, passed=False)


def not_ours(model: Model) -> str:
    return model.publish({BUNDLE_SHA256: "none"})


def altered(model: Model) -> str:
    return model.publish({BUNDLE_SHA256: "0" * 64})


def of_another_use_case(model: Model) -> str:
    return model.publish(usecase="others")


def without_a_verdict(model: Model) -> str:
    return model.publish(content={"metrics.json": b"{"})


def without_a_schema(model: Model) -> str:
    return model.publish(content={"serve/schema.json": b"[]"})


def incompatible(model: Model) -> str:
    grown = (*bundles.TABULAR.features, Feature("income", "number", range=(0.0, 1.0)))
    return model.publish(schema=msgspec.structs.replace(bundles.TABULAR, features=grown))


REFUSALS = [
    (failed, "its gates failed: ROC AUC is 0.6; at least 0.7 is needed. A person overrides that by the version's tag"),
    (refused, "it has the tag slipway.refused: it was rolled back. Remove the tag"),
    (overridden_by_nobody, "its tag slipway.override is 'I like it'; its form is `WHO: WHY`"),
    (not_ours, "its tag slipway.bundle_sha256 is 'none', a sha256 is needed"),
    (altered, "the registry says 0000"),
    (of_another_use_case, "the bundle is of the use case 'others', and registered as"),
    (without_a_verdict, "metrics.json holds no gate verdict: "),
    (without_a_schema, "serve/schema.json is not a schema: "),
    (incompatible, "requests that version 1 answers would be refused: income is new and not nullable"),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSALS, ids=lambda each: getattr(each, "__name__", ""))
def test_what_servers_would_refuse_is_refused_at_once(model: Model, make: Callable[[Model], str], sentence: str):
    model.registry.set_alias(model.name, "champion", model.publish())
    version, before = make(model), model.lines()
    for alias in ("champion", "canary", "shadow"):
        body = json.dumps({"name": model.name, "alias": alias, "version": version}).encode()
        status, answer = model.send("POST", "/ajax-api/2.0/mlflow/registered-models/alias", body)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert answer["message"].startswith(f"{model.name} version {version} cannot be {alias}: ")
        assert sentence in answer["message"] and str(model.folder) not in answer["message"]
        assert "/tmp" not in answer["message"]
    assert model.aliases == {"champion": "1"}
    assert model.lines() == before


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("form", ["as it is", "twice encoded", "with more fields", "as text", "spaces"])
def test_no_form_of_the_request_passes_by(model: Model, route: str, form: str):
    content: dict[str, Any] = {"name": model.name, "alias": "champion", "version": failed(model)}
    if form == "with more fields":
        content = {"Alias": "other", **content, "versions": "7"}
    if form == "spaces":
        content["version"] = f" 0{content['version']} "
    body = json.dumps(json.dumps(content) if form == "twice encoded" else content).encode()
    kind = "text/plain" if form == "as text" else "application/json"
    status, answer = model.send("POST", f"{route}/registered-models/alias", body, kind)
    assert status == 400, answer
    assert model.aliases == {}


@pytest.mark.parametrize(
    ("signed", "sentence"),
    [
        ("trusted", ""),
        ("other", "manifest.sig is of none of the 1 keys in SLIPWAY_TRUSTED_KEYS"),
        ("nobody", "it has no manifest.sig, and SLIPWAY_TRUSTED_KEYS is set"),
        ("garbage", "manifest.sig is not base64"),
        ("trusted, the key is gone", "mount the secret that holds it"),
    ],
)
def test_where_signatures_are_asked_for_a_bundle_without_one_is_not_servable(
    model: Model, monkeypatch, tmp_path, signed: str, sentence: str
):
    from monitoring.release.admissibility import require_servable_version

    keys = {name: key_pair(tmp_path, name) for name in ("trusted", "other")}
    bundles.write(tmp_path / "bundle")
    bundles.rename(tmp_path / "bundle", model.name)
    if key := keys.get(signed.partition(",")[0]):
        monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(key[0]))
        settings.cache_clear()
        signing.sign(tmp_path / "bundle")
    elif signed == "garbage":
        (tmp_path / "bundle" / "manifest.sig").write_text("?")
    version = model.registry.version(model.name, publish(model.registry.uri, model.name, tmp_path / "bundle"))
    public = keys["trusted"][1]
    monkeypatch.setenv("SLIPWAY_TRUSTED_KEYS", str(public.with_name("gone") if "gone" in signed else public))
    settings.cache_clear()
    if not sentence:
        require_servable_version(model.registry, version, None)
        return
    with pytest.raises((BundleError, SettingsError), match=sentence) as raised:
        require_servable_version(model.registry, version, None)
    assert "/new" not in str(raised.value)


def test_every_move_is_written_with_what_it_moved_from(model: Model):
    first, second = model.publish(), model.publish(bias=0.1)
    model.registry.set_alias(model.name, "champion", first)
    assert model.last() == {"alias": "champion", "from": None, "to": "1", "login": False}
    model.registry.set_alias(model.name, "champion", second)
    assert model.last() == {"alias": "champion", "from": "1", "to": "2", "login": False}
    model.registry.set_alias(model.name, "champion", second)  # changes nothing
    model.registry.set_alias(model.name, "mine", first)
    model.registry.delete_alias(model.name, "champion")
    assert model.last() == {"alias": "champion", "from": "2", "to": None, "login": False}
    nobody = "not known: this MLflow has no login"
    assert model.lines() == [("alias.moved", version, nobody) for version in ("1", "2", "1", "2")]


def test_every_tag_of_ours_is_written_before_it_is_changed_and_no_other(model: Model):
    version, registry = model.publish(), model.registry
    registry.set_version_tag(model.name, version, OVERRIDE, "ann: it is urgent")
    assert model.last() == {"tag": OVERRIDE, "from": None, "to": "ann: it is urgent", "login": False}
    registry.set_version_tag(model.name, version, "team", "risk")
    registry.delete_version_tag(model.name, version, OVERRIDE)
    registry.set_model_tag(model.name, "slipway.retraining", "paused")
    registry.set_model_tag(model.name, "slipway.retraining", "paused")
    registry.delete_model_tag(model.name, "slipway.retraining")
    assert [line[:2] for line in model.lines()] == [
        ("tag.set", "1"),
        ("tag.removed", "1"),
        ("tag.set", None),
        ("tag.removed", None),
    ]


def test_a_version_whose_gates_failed_is_promoted_by_who_says_so(model: Model):
    version = failed(model)
    model.registry.set_version_tag(model.name, version, OVERRIDE, "ann: it is urgent")
    model.registry.set_alias(model.name, "champion", version)
    assert model.aliases == {"champion": version}
    assert [line[0] for line in model.lines()] == ["tag.set", "alias.moved"]


def test_a_version_that_is_born_with_an_override_is_written_down(model: Model):
    model.publish({OVERRIDE: "ann: it is urgent", "slipway.gate": "failed"}, passed=False)
    assert model.last() == {"tags": {OVERRIDE: "ann: it is urgent"}, "login": False}


def test_the_way_back_is_open(model: Model):
    """Servers keep the previous champion, and return to it without a check; nor do they serve what they refused."""
    model.registry.set_alias(model.name, "champion", model.publish())
    nullable = (*bundles.TABULAR.features, Feature("income", "number", range=(0.0, 1.0), nullable=True))
    second = model.publish(schema=msgspec.structs.replace(bundles.TABULAR, features=nullable))
    model.registry.set_alias(model.name, "champion", second)
    with pytest.raises(RegistryError, match="income is gone and not retired"):
        model.registry.set_alias(model.name, "champion", "1")
    model.registry.set_version_tag(model.name, "1", "slipway.serving.local", "replaced: by version 2 since 2026")
    model.registry.set_alias(model.name, "champion", "1")
    model.registry.set_alias(model.name, "champion", second)
    model.registry.delete_version_tag(model.name, "1", "slipway.serving.local")
    model.registry.set_version_tag(model.name, second, "slipway.serving.local", "refused: it is too slow")
    model.registry.set_alias(model.name, "champion", "1")


def test_deleting_what_has_an_alias_is_a_move(model: Model):
    model.registry.set_alias(model.name, "champion", model.publish())
    for route, body in (
        ("model-versions", {"name": model.name, "version": "1"}),
        ("registered-models", {"name": model.name}),
    ):
        path = f"/api/2.0/mlflow/{route}/delete"
        assert model.send("DELETE", path, json.dumps(body).encode())[0] == 200
    assert [line[0] for line in model.lines()] == ["alias.moved", "version.deleted"]
    assert model.last()["moved"] == [{"alias": "champion", "from": "1", "to": None}]
    with pytest.raises(NotFound):
        model.registry.model(model.name)


def test_a_use_cases_model_cannot_be_renamed(model: Model):
    model.publish()
    body = json.dumps({"name": model.name, "new_name": f"{model.name}_2"}).encode()
    status, answer = model.send("POST", "/api/2.0/mlflow/registered-models/rename", body)
    assert status == 400
    assert "servers would refuse them under another name" in answer["message"]
    assert model.registry.versions(model.name)


def test_models_of_others_are_not_looked_at(model: Model):
    others, run = unique_name("others"), model.registry.create_run("0", "others").info
    version = {"name": others, "source": f"{run.artifact_uri}/x", "run_id": run.run_id}
    for path, body in (
        ("registered-models/create", {"name": others}),
        ("model-versions/create", version),
        ("registered-models/alias", {"name": others, "alias": "champion", "version": "1"}),
        ("registered-models/rename", {"name": others, "new_name": f"{others}_2"}),
    ):
        status, answer = model.send("POST", f"/api/2.0/mlflow/{path}", json.dumps(body).encode())
        assert status == 200, answer
    assert audit.lines(others) == audit.lines(f"{others}_2") == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"name": 1}', b'{"name": "none such", "alias": "champion", "version": "1"}'],
)
def test_what_is_no_such_request_gets_mlflows_own_answer(model: Model, body: bytes):
    request = urllib.request.Request(
        f"{model.registry.uri}/api/2.0/mlflow/registered-models/alias", body, method="POST"
    )
    request.add_header("Content-Type", "application/json")
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=60)
    assert 400 <= raised.value.code < 500


@pytest.mark.slow
def test_a_change_that_cannot_be_written_down_is_not_made_but_for_a_rollback(monkeypatch):
    from monitoring.mlflow_app import app, registry_changes

    def tag(action: str, key: str) -> registry_changes.RegistryChange:
        return registry_changes.RegistryChange("loans", action, "2", {"tag": key}, True)

    def broken(*_: object, **__: object) -> None:
        raise ServiceError("the log is down")

    monkeypatch.setattr(audit, "append", broken)
    gate = app.Gate(settings())
    version = registry_changes.ModelVersion("loans", "2", "run", "source")
    change = registry_changes.RegistryChange("loans", registry_changes.MOVED, "2", {}, True, "champion", version)
    with pytest.raises(app._Refused, match=r"Nobody may move 'champion' of loans .* the log is down") as raised:
        gate._record(change, None)
    assert raised.value.status == 500
    for lifts in (tag("tag.set", OVERRIDE), tag("tag.removed", REFUSED), tag("tag.set", BUNDLE_SHA256)):
        with pytest.raises(app._Refused):
            gate._record(lifts, None)
    version.tags["slipway.serving.local"] = "replaced: by version 3"
    removed = registry_changes.RegistryChange("loans", registry_changes.MOVED, "2", {}, True, "canary")
    for takes_back in (change, removed, tag("tag.set", REFUSED), tag("tag.set", "slipway.serving.local")):
        gate._record(takes_back, None)


@pytest.mark.slow  # as the one before, it imports the server
def test_every_request_of_mlflows_registry_is_either_read_or_known_to_move_nothing():
    """A release of MLflow with another way to move an alias fails here."""
    from mlflow.protos.model_registry_pb2 import ModelRegistryService
    from mlflow.server.graphql.autogenerated_graphql_schema import MutationType
    from mlflow.server.handlers import get_endpoints

    from monitoring.mlflow_app import app, registry_changes

    harmless = {
        "GetRegisteredModel",
        "SearchRegisteredModels",
        "GetLatestVersions",
        "UpdateRegisteredModel",  # its description
        "UpdateModelVersion",  # its description
        "TransitionModelVersionStage",  # no server reads stages
        "GetModelVersion",
        "SearchModelVersions",
        "GetModelVersionDownloadUri",
        "GetModelVersionByAlias",
    }
    service = ModelRegistryService.DESCRIPTOR.methods
    assert {method.input_type.name for method in service} - {
        each.__name__ for each in registry_changes.READERS
    } == harmless
    assert not [name for name in MutationType._meta.fields if "model" in name or "alias" in name or "tag" in name]
    paths = {(path, method) for path, _, methods in get_endpoints() for method in methods}
    aliases = {each for each in paths if each[0].endswith("registered-models/alias") and each[1] != "GET"}
    assert len(aliases) == 4
    assert aliases <= app._routes().keys()
