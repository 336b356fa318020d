"""The connection to Elasticsearch: what is set wrongly is named, and credentials are in no message."""

from __future__ import annotations

import json

import pytest

from slipway.clients.elasticsearch.connection import api_key, connect, is_configured
from slipway.errors import ServiceError, SettingsError
from slipway.settings import settings

SECRET = "aWQ6c2VjcmV0LW9mLXRoZS1rZXk="


@pytest.fixture
def configured(monkeypatch):
    """`configured(URL="…", API_KEY="…")` sets these variables of Elasticsearch alone."""

    def set_(**values):
        for name, value in values.items():
            monkeypatch.setenv(f"ELASTICSEARCH_{name}", str(value))
        settings.cache_clear()
        return settings()

    return set_


def test_without_an_address_there_is_none(configured):
    config = configured(URL="")
    assert not is_configured(config)
    with pytest.raises(ServiceError, match="set ELASTICSEARCH_URL"):
        connect(config)


@pytest.mark.parametrize("url", ["localhost:9200", "ftp://localhost", "https://a b"])
def test_what_is_no_address_is_refused(configured, url):
    with pytest.raises(SettingsError, match="ELASTICSEARCH_URL"):
        configured(URL=url)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://search", "search", 80, ""),
        ("https://search", "search", 443, ""),
        ("https://search:9200/", "search", 9200, ""),
        ("https://proxy/elastic", "proxy", 443, "/elastic"),
    ],
)
def test_an_address_may_leave_out_the_port(configured, url, host, port, path):
    (node,) = connect(configured(URL=url)).transport.node_pool.all()
    assert (node.config.host, node.config.port, node.config.path_prefix) == (host, port, path)


def test_a_login_may_be_part_of_the_address(configured):
    (node,) = connect(configured(URL="https://ann:s%23cret@search:9200")).transport.node_pool.all()
    assert node.config.headers["authorization"] == "Basic YW5uOnMjY3JldA=="


def test_a_login_and_a_key_are_one_too_many(configured):
    config = configured(URL="https://ann:secret@search:9200", API_KEY=SECRET)
    with pytest.raises(SettingsError, match="remove one of them") as raised:
        connect(config)
    assert "secret" not in str(raised.value)


def test_a_key_may_be_encoded_or_not_or_in_a_file(configured, tmp_path, monkeypatch):
    assert api_key(configured(URL="http://search", API_KEY=SECRET)) == SECRET
    assert api_key(configured(API_KEY="id:secret-of-the-key")) == SECRET
    monkeypatch.delenv("ELASTICSEARCH_API_KEY")
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    assert api_key(configured(API_KEY_FILE=file)) == SECRET


def test_two_keys_are_one_too_many(configured, tmp_path):
    with pytest.raises(SettingsError, match="both set: unset one"):
        api_key(configured(URL="http://search", API_KEY=SECRET, API_KEY_FILE=tmp_path / "key"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"", "is empty"), (b"\xff\xfe", "it is no key"), (b"a" * 5000, "it is no key")],
)
def test_a_file_without_a_key_is_named(configured, tmp_path, content, reason):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=reason) as raised:
        connect(configured(URL="http://search", API_KEY_FILE=file))
    assert str(file) in str(raised.value)


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_certificates_that_cannot_be_used_are_named(configured, tmp_path, content):
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"ELASTICSEARCH_CA_CERTS=.*name a PEM file"):
        connect(configured(URL="https://search", CA_CERTS=file))


def test_no_secret_is_shown_with_the_settings(configured):
    config = configured(URL="http://search", API_KEY=SECRET)
    assert SECRET not in repr(config)
    assert SECRET not in json.dumps(config.model_dump(mode="json"))
