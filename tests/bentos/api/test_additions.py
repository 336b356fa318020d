"""Use cases that a running server takes up: everything of the API has them, and what it served is not interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.serving_state import additions
from tests.bentos.conftest import PATIENT, Client
from tests.support import bundles
from tests.support.waiting import until

LOANS, PRICES = bundles.ROWS["loans"][0], bundles.ROWS["prices"][0]


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "more.txt"
    monkeypatch.setenv("SLIPWAY_SERVE_FILE", str(path))
    return path


def look(client: Client) -> list[str]:
    """Do what the worker does each second, and list what it serves."""
    client.worker.load_additions()
    client.worker.admit_additions()
    return [model["name"] for model in client.get("/v1/models").json["models"]]


def test_a_use_case_is_taken_up_when_it_has_a_model(
    start_client: Callable[..., Client], var: Path, tmp_path: Path, named: Path
) -> None:
    client = start_client(bundles.TABULAR)
    assert client.post("/v1/predict", {"instances": [LOANS]}).status == 200
    assert look(client) == ["loans"], "there is no file yet"
    additions.write(named, ["loans", "prices"])
    assert look(client) == ["loans"], "nothing of it can be served yet"
    assert client.get("/readyz").status == 200, "it keeps nothing from being served"
    assert client.predict(PRICES, usecase="prices").status == 404
    bundles.promote(var, tmp_path / "prices", bundles.REGRESSION, serving=PATIENT)
    until(lambda: look(client) == ["loans", "prices"])
    assert client.predict(PRICES, usecase="prices").status == 200
    assert client.predict(LOANS).status == 200
    assert len(client.events("prices")) == 1
    assert client.get("/v1/models/prices/schema").status == 200
    assert "/v1/models/prices/predict" in client.get("/openapi.json").json["paths"]
    assert b'data-usecase="prices"' in client.get("/").body
    several = client.post("/v1/predict", {"instances": [LOANS]})
    assert (several.status, "several use cases" in several.json["detail"]) == (404, True)


def test_a_worker_that_starts_anew_serves_what_was_added(
    start_client: Callable[..., Client], var: Path, tmp_path: Path, named: Path
) -> None:
    bundles.promote(var, tmp_path / "prices", bundles.REGRESSION, serving=PATIENT)
    additions.write(named, ["prices", "nothing"])
    client = start_client(bundles.TABULAR)
    assert client.predict(PRICES, usecase="prices").status == 200
    assert client.get("/readyz").status == 200


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"loans\n\n  prices \r\nloans", ("loans", "prices")),
        (b"../x\n/etc\na b\n.\n", ()),
        (b"\xff\xfe\0", ()),
        (None, ()),
    ],
)
def test_what_is_no_name_is_passed_over(named: Path, content: Any, names: tuple[str, ...]) -> None:
    assert additions.read(None) == ()
    if content is not None:
        named.write_bytes(content)
    assert additions.read(named) == names
