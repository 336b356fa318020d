"""Traffic and budgets from Prometheus, by queries that Prometheus accepts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from monitoring import prometheus
from monitoring.telemetry.history import MINUTES, Budgets
from monitoring.telemetry.prometheus_api import PrometheusApi
from slipway.errors import ServiceError
from tests.support.doubles.http_double import Answer, HttpDouble

NOW = 1_769_860_800.0
START = NOW - 60 * (MINUTES - 1)
RULES = Path(prometheus.__file__).parent / "rules" / "objectives.yml"


class Api(HttpDouble):
    """Prometheus with the series of two use cases: `cars` without failures, and with another objective."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[str] = []
        self.content: bytes | None = None

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        self.queries.append(query["query"])
        if self.content is not None:
            return self.content
        if path == "/api/v1/query":
            return _result(
                {"loans": 0.25} if "availability" in query["query"] else {"loans": 0.5, "cars": 1.0}, "value"
            )
        if "histogram_quantile" in query["query"]:
            quantile = float(re.findall(r"histogram_quantile\(([\d.]+)", query["query"])[0])
            return _result({"loans": quantile / 100, "cars": quantile / 100})
        return _result({"loans": 0.5} if "code" in query["query"] else {"loans": 2.0, "cars": 0.0})


def _result(values: dict[str, float], key: str = "values") -> dict:
    """The series of the last two minutes, the first of which is NaN."""
    both = [[START + 60 * (MINUTES - 2), "NaN"], [NOW, "x"]]
    result = []
    for usecase, value in values.items():
        both[1] = [NOW, str(value)]
        result.append({"metric": {"usecase": usecase}, key: list(both) if key == "values" else both[1]})
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as double:
        yield double


def test_the_last_hour_has_rates_shares_of_failures_and_the_quantile_of_the_objective(api: Api) -> None:
    found = PrometheusApi(api.uri, "").last_hours(NOW, {"cars": 0.5})
    loans, cars = found["loans"], found["cars"]
    assert (loans.source, len(loans.requests), loans.requests[-2:]) == ("Prometheus", MINUTES, [None, 2])
    assert (loans.failed[-1], cars.failed[-1], loans.failed[0]) == (0.25, None, None)
    assert (loans.latency[-1], cars.latency[-1]) == pytest.approx((0.0099, 0.005))


def test_budgets_are_those_that_the_rules_record(api: Api) -> None:
    assert PrometheusApi(api.uri, "").budgets(NOW) == {"loans": Budgets(0.25, 0.5), "cars": Budgets(None, 1)}
    recorded = {rule.get("record") for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    assert {name for query in api.queries for name in re.findall(r"namespace_usecase:[\w:]+", query)} <= recorded


def test_prometheus_accepts_the_queries_and_a_namespace_is_in_each(api: Api, needs, tmp_path: Path) -> None:
    client = PrometheusApi(api.uri, "team-a")
    client.last_hours(NOW, {})
    client.budgets(NOW)
    assert [query for query in api.queries if 'namespace="team-a"' not in query] == []
    rules = [{"record": f"query:{place}", "expr": query} for place, query in enumerate(api.queries)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run(
        [needs("promtool"), "check", "rules", tmp_path / "queries.yml"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{len(api.queries)} rules found" in checked.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>", "does not respond: JSON is malformed"),
        (b'{"status": "error", "error": "query timed out"}', "answered 200 query timed out"),
        (b'{"data": {"result": {}}}', "does not respond: Expected `array`"),
        (b'{"data": {"result": [1.5, "2"]}}', "does not respond: Expected `object`"),
        (b"[" * 100_000, "does not respond"),
    ],
)
def test_what_is_no_prometheus_is_an_error(api: Api, content: bytes, words: str) -> None:
    api.content = content
    with pytest.raises(ServiceError, match=re.escape(words)):
        PrometheusApi(api.uri, "").last_hours(NOW, {})


def test_without_series_there_is_nothing_and_strange_ones_break_nothing(api: Api) -> None:
    api.content = b'{"data": {"result": []}}'
    assert (PrometheusApi(api.uri, "").last_hours(NOW, {}), PrometheusApi(api.uri, "").budgets(NOW)) == ({}, {})
    api.content = b'{"data": {"result": [{"metric": {}, "values": [[1, "2"], [1e300, "Inf"]], "value": [1, "NaN"]}]}}'
    assert PrometheusApi(api.uri, "").last_hours(NOW, {})[""].is_measured is False
    assert PrometheusApi(api.uri, "").budgets(NOW) == {}


def test_no_password_is_in_an_error() -> None:
    with pytest.raises(ServiceError) as caught:
        PrometheusApi("http://ann:secret@127.0.0.1:9", "").budgets(NOW)
    assert "secret" not in str(caught.value)
