"""Candidate roles in a real server with two workers: shares, units, faults and a promotion, observed by clients."""

from __future__ import annotations

import http.client
import json
import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bentos.executor.canary_routing import routes_to_canary
from slipway.serving_state.desired import Canary
from tests.bentos.server.processes import Load, Server, logged
from tests.support import bundles

ROW = bundles.ROWS["loans"][0]
OLD = {**ROW, "age": 99.0}
LOOSE = {"swap_ratio": 1e6}
SALT = "ab12"


class Caller:
    """Connection that predicts with or without a unit, and tells the version that answered."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)

    def version(self, row: dict, unit: str = "") -> str:
        headers = {"content-type": "application/json"} | ({"x-slipway-unit": unit} if unit else {})
        self._connection.request("POST", "/v1/predict", json.dumps({"instances": [row]}), headers)
        answer = self._connection.getresponse()
        content = json.loads(answer.read())
        assert answer.status == 200, content
        return content["model"]["version"]


@pytest.fixture
def put(var: Path, tmp_path: Path) -> Callable[..., str]:
    def store(version: str, **options: object) -> str:
        digest = bundles.write(tmp_path / f"v{version}", bias=int(version) / 10, serving=LOOSE, **options)
        bundles.put_in_store(var, tmp_path / f"v{version}", version)
        return digest

    return store


def point(server: Server, champion: str, canary: str | None = None, weight: float = 0, shadow: str | None = None):
    """Set the desired state and wait until every worker has followed it."""
    roles = {"canary": Canary(canary, weight, SALT) if canary else None, "shadow": shadow}
    generation = bundles.point(server.var, "loans", champion, **roles)
    for role, digest in (("champion", champion), ("canary", canary), ("shadow", shadow)):
        server.wait_for(lambda role=role, digest=digest: server.all_have(generation, digest, role=role))


def test_a_canary_gets_its_share_and_its_units_and_a_failing_or_promoted_one_hurts_nobody(serve, var, put):
    champion, canary, faulty = put("1"), put("2"), put("3", fault="nan")
    bundles.point(var, "loans", champion)
    server = serve("loans", workers=2)

    point(server, champion, canary, 25)
    versions = Counter(Caller(server).version(ROW) for _ in range(400))
    bound = 4.5 * math.sqrt(400 * 0.25 * 0.75)
    assert abs(versions["2"] - 100) < bound, versions
    for unit in ("ann", "bob", "cy", "di", "eve", "flo"):
        expected = "2" if routes_to_canary("2", unit.encode(), 25, SALT.encode()) else "1"
        assert {Caller(server).version(ROW, unit) for _ in range(6)} == {expected}

    point(server, champion, faulty, 100)
    assert {Caller(server).version(OLD) for _ in range(20)} == {"1"}
    assert {Caller(server).version(ROW) for _ in range(10)} == {"3"}
    failed = [e for e in logged(var) if e["event"]["outcome"] == "failure"]
    assert {(e["slipway"]["role"], e["slipway"]["model_version"], e["error"]["type"]) for e in failed} == {
        ("canary", "3", "ModelError")
    }
    assert len(failed) == 20
    server.wait_for_metric(20, "slipway_canary_fallbacks_total", reason="error", version="3")

    with Load(server, "loans", ROW, rate=100) as load:
        point(server, champion, canary, 50, shadow=champion)
        point(server, canary, None, 0, shadow=champion)
        time.sleep(0.5)
    assert (load.failed, load.broken) == ([], 0)
    assert {"1", "2"} <= set(load.versions)
    assert load.versions[-1] == "2"

    server.process.terminate()
    assert server.process.wait(30) == 0
    every = logged(var)
    answered = Counter(e["slipway"]["row_id"] for e in every if e["slipway"]["answered"])
    assert set(answered.values()) == {1}
    assert set(load.ids) <= set(answered)
    assert {e["slipway"]["role"] for e in every} == {"champion", "canary", "shadow"}
    assert max(Counter(e["event"]["id"] for e in every).values()) == 1
    assert list((var / "spool").rglob("*.open")) == []
