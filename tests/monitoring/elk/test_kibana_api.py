"""The import of saved objects, against a double of Kibana's API."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from elk.kibana.__main__ import FILE
from monitoring.elk.kibana_api import import_objects
from slipway.errors import ServiceError, SettingsError
from tests.conftest import NOWHERE
from tests.support.doubles.http_double import Answer, HttpDouble
from tests.support.doubles.kibana_double import KibanaDouble

KEY = "aWQ6a2V5"


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
    first = import_objects(kibana.uri, objects, api_key=KEY)
    assert first.overwritten == []
    assert "dashboard Slipway: Model" in first.created
    again = import_objects(kibana.uri, objects, api_key=KEY)
    assert (again.created, again.overwritten) == ([], first.created)
    assert len(kibana.spaces["default"]) == len(objects.splitlines())


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
    with pytest.raises(ServiceError, match=reason):
        import_objects(kibana.uri, FILE.read_bytes(), **options)


def test_a_space_that_cannot_be_is_refused_before_the_request() -> None:
    with pytest.raises(SettingsError, match="--space 'Risk Team' is no id"):
        import_objects(NOWHERE, b"", space="Risk Team")


def test_a_proxy_and_silence_are_no_kibana() -> None:
    with Proxy() as proxy, pytest.raises(ServiceError, match="did not answer as Kibana does"):
        import_objects(proxy.uri, b"{}")
    with pytest.raises(ServiceError, match="does not respond"):
        import_objects(NOWHERE, b"{}")
