"""An Elasticsearch double, a folder of use cases, and the connection to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from slipway.clients.elasticsearch.connection import connect
from slipway.settings import settings
from tests.support.doubles.elasticsearch_admin_double import ElasticsearchAdminDouble
from tests.support.minimal_usecase import write_usecase


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[ElasticsearchAdminDouble]:
    """Provide an Elasticsearch of which settings know the address, as the environment `staging`."""
    with ElasticsearchAdminDouble() as server:
        monkeypatch.setenv("ELASTICSEARCH_URL", server.uri)
        monkeypatch.setenv("SLIPWAY_ENVIRONMENT", "staging")
        settings.cache_clear()
        yield server


@pytest.fixture
def client(double: ElasticsearchAdminDouble) -> Elasticsearch:
    return connect(settings())


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`declare(loans=90, cars=None)` makes these use cases the only ones, with these `retention_days`."""

    def write(**days: int | None) -> None:
        folder = tmp_path / "usecases"
        for name, number in days.items():
            write_usecase(folder, name, f"{{retention_days: {number}}}" if number else "{}")
        monkeypatch.setenv("SLIPWAY_USECASES", str(folder))
        settings.cache_clear()

    return write
