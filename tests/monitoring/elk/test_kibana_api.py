"""The import of saved objects, against a double of Kibana's API."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from elk.kibana.__main__ import FILE
from monitoring.elk.kibana_api import KibanaImport, import_objects, plan_import
from slipway.errors import ServiceError, SettingsError
from slipway.settings import settings
from tests.conftest import NOWHERE
from tests.support.doubles.http_double import Answer, HttpDouble
from tests.support.doubles.kibana_double import KibanaDouble

KEY = "aWQ6a2V5"
OBJECTS = [json.loads(line) for line in FILE.read_text().splitlines()]
ALL = [f"{each['type']} {each['attributes']['title']}" for each in OBJECTS]


@pytest.fixture
def kibana() -> Iterator[KibanaDouble]:
    with KibanaDouble(KEY, ("default", "risk")) as running:
        assert isinstance(running, KibanaDouble)
        yield running


class Proxy(HttpDouble):
    """A proxy that answers every request with its login page."""

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        return b"<html>Please log in</html>"


def test_an_import_says_what_is_new_and_what_it_overwrote(kibana: KibanaDouble) -> None:
    objects = FILE.read_bytes()
    assert plan_import(kibana.uri, objects, api_key=KEY) == KibanaImport(ALL, [])
    assert import_objects(kibana.uri, objects, api_key=KEY) == KibanaImport(ALL, [])
    assert "dashboard Slipway: Model" in ALL
    assert plan_import(kibana.uri, objects, api_key=KEY) == KibanaImport([], ALL)
    assert import_objects(kibana.uri, objects, api_key=KEY) == KibanaImport([], ALL)
    assert len(kibana.spaces["default"]) == len(objects.splitlines())


def test_a_plan_changes_nothing(kibana: KibanaDouble) -> None:
    plan_import(kibana.uri, FILE.read_bytes(), space="risk", api_key=KEY)
    assert kibana.spaces == {"default": {}, "risk": {}}


def test_the_command_names_each_object_that_it_would_and_did_create_and_overwrite(kibana, double, cli, monkeypatch):
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "id:key")
    settings.cache_clear()
    options = "elk", "setup", "--kibana", kibana.uri, "--space", "risk"
    runs = [(*options, "--dry-run"), options, (*options, "--dry-run"), options]
    verbs = ["would create", "created", "would overwrite", "overwrote"]
    for run, verb in zip(runs, verbs, strict=True):
        ran = cli(*run)
        assert ran.code == 0, ran.err
        assert f"{verb} dashboard Slipway: Model in the space risk of Kibana" in ran.err


def test_an_import_goes_into_the_space(kibana: KibanaDouble) -> None:
    import_objects(kibana.uri, FILE.read_bytes(), space="risk", api_key=KEY)
    assert kibana.spaces["default"] == {}
    assert ("index-pattern", "slipway-predictions") in kibana.spaces["risk"]


def test_a_missing_reference_is_named_and_nothing_is_imported(kibana: KibanaDouble) -> None:
    searches = [line for line in FILE.read_bytes().splitlines() if json.loads(line)["type"] == "search"]
    reason = r"imported 0 objects .* search Slipway: One prediction \(missing_references\)"
    with pytest.raises(ServiceError, match=reason):
        import_objects(kibana.uri, b"\n".join(searches), api_key=KEY)
    assert kibana.spaces["default"] == {}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"api_key": "wrong"}, "answered 401: .*ELASTICSEARCH_API_KEY"),
        ({"api_key": KEY, "space": "nowhere"}, "answered 404: .*Is there a space 'nowhere'"),
    ],
)
def test_a_rejection_says_what_to_do(options: dict[str, str], reason: str, kibana: KibanaDouble) -> None:
    for run in (plan_import, import_objects):
        with pytest.raises(ServiceError, match=reason):
            run(kibana.uri, FILE.read_bytes(), **options)


def test_a_space_that_cannot_be_is_refused_before_the_request() -> None:
    with pytest.raises(SettingsError, match="--space 'Risk Team' is no id"):
        import_objects(NOWHERE, b"", space="Risk Team")


def test_a_proxy_and_silence_are_no_kibana() -> None:
    with Proxy() as proxy, pytest.raises(ServiceError, match="did not respond as Kibana does"):
        import_objects(proxy.uri, b"{}")
    with pytest.raises(ServiceError, match="does not respond"):
        import_objects(NOWHERE, b"{}")
