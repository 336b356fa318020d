"""What a server lacks is named, with what follows, before anything is changed."""

from __future__ import annotations

import pytest

from monitoring.elk.capabilities import detect
from monitoring.elk.definitions import resources
from monitoring.elk.retention import stream_days
from monitoring.elk.setup import plan
from slipway.clients.elasticsearch.connection import connect
from slipway.errors import ServiceError
from slipway.settings import settings
from tests.support.doubles.elasticsearch_admin_double import ElasticsearchAdminDouble, ElasticsearchError

FIELD_SECURITY = "document- and field-level security"


def lacks(double, monkeypatch):
    with double:
        monkeypatch.setenv("ELASTICSEARCH_URL", double.uri)
        settings.cache_clear()
        found = detect(connect(settings()), settings())
    return [lack.feature.partition(" (")[0] for lack in found.lacks]


@pytest.mark.parametrize(
    ("licence", "features", "missing"),
    [
        ("enterprise", ("ilm", "security"), []),
        ("basic", ("ilm", "security"), [FIELD_SECURITY]),
        ("basic", ("ilm",), ["security"]),
        ("basic", (), ["index lifecycle policies", "security"]),
    ],
)
def test_each_missing_feature_is_named(monkeypatch, licence, features, missing):
    assert lacks(ElasticsearchAdminDouble(licence, features), monkeypatch) == missing


def test_a_server_without_licences_has_no_feature_of_theirs(monkeypatch):
    class Plain(ElasticsearchAdminDouble):
        def answer(self, method, path, query, body):
            if path == "/_xpack":
                raise ElasticsearchError(400, "illegal_argument_exception", "no handler found")
            return super().answer(method, path, query, body)

    assert lacks(Plain(), monkeypatch) == ["index lifecycle policies", "security"]


def test_missing_privileges_are_no_missing_feature(monkeypatch):
    class Guarded(ElasticsearchAdminDouble):
        def answer(self, method, path, query, body):
            if path == "/_xpack":
                raise ElasticsearchError(403, "security_exception", "action [xpack] is unauthorized")
            return super().answer(method, path, query, body)

    with pytest.raises(ServiceError, match=r"403: action .* is unauthorized. Use a key or a user with this privilege"):
        lacks(Guarded(), monkeypatch)


def test_what_the_server_lacks_is_in_no_resource(monkeypatch):
    with ElasticsearchAdminDouble("basic", ()) as double:
        monkeypatch.setenv("ELASTICSEARCH_URL", double.uri)
        settings.cache_clear()
        server = detect(connect(settings()), settings())
    found = resources(settings(), server, stream_days(settings(), {}))
    assert {each.kind.name for each in found} == {"ingest pipeline", "component template", "index template"}
    assert not any("lifecycle" in str(each.body) for each in found)


@pytest.mark.timeout(240)
def test_opensearch_is_named_and_left_as_it_is(opensearch, monkeypatch):
    monkeypatch.setenv("ELASTICSEARCH_URL", opensearch)
    settings.cache_clear()
    with pytest.raises(ServiceError, match=r"this is OpenSearch 3\.8.*lacks .*`flattened`.*Nothing was changed"):
        plan(connect(settings()), settings())
