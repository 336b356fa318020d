"""Queries of the dashboards, with variables filled in as Grafana fills them: by promtool, and by a real Prometheus."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest
import yaml

from grafana.interpolation import DASHBOARDS, Query, filled, queries, variables
from monitoring.telemetry.history import Budgets
from monitoring.telemetry.prometheus_api import PrometheusApi
from tests.grafana import sample_series
from tests.grafana.sample_series import END
from tests.support import waiting
from tests.support.servers import free_port

EVERY = list(queries())
CHOICES = {
    "All": {"usecase": "credit_risk"},
    "one": {
        "namespace": "production",
        "usecase": "credit_risk",
        "version": "2",
        "process": "worker-1",
        "metric": "roc_auc",
    },
    "several": {
        "namespace": ["production", "staging.1"],
        "usecase": ["credit_risk", "digits"],
        "version": ["1", "2"],
        "process": ["supervisor", "worker-1"],
        "metric": "roc_auc",
    },
}
SLOWEST = 2.0  # seconds


def chosen(query: Query, choice: str) -> dict:
    """Return the values of a choice; of a variable with one value at a time, its first."""
    known = variables(query.dashboard)
    values = {"metric": "roc_auc", **CHOICES[choice]}
    if choice == "All":
        values = {name: value for name, value in values.items() if not known.get(name, {}).get("includeAll")}
    return {
        name: value if isinstance(value, str) or known.get(name, {}).get("multi") else value[0]
        for name, value in values.items()
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("All", 'slipway_x{namespace=~".*", usecase=~"credit_risk", version=~".*"}'),
        ("one", 'slipway_x{namespace=~"production", usecase=~"credit_risk", version=~"2"}'),
        ("several", r'slipway_x{namespace=~"(production|staging\\.1)", usecase=~"credit_risk", version=~"(1|2)"}'),
    ],
)
def test_variables_are_filled_in_as_by_grafana(choice, expected):
    query = Query("slipway-model", "", 'slipway_x{namespace=~"$namespace", usecase=~"$usecase", version=~"$version"}')
    assert filled(query, chosen(query, choice)) == expected


@pytest.mark.slow
def test_every_query_is_promql_whatever_is_chosen(needs, tmp_path):
    rules = [
        {"record": f"query_{number}", "expr": filled(query, chosen(query, choice))}
        for number, (query, choice) in enumerate((query, choice) for query in EVERY for choice in CHOICES)
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run([needs("promtool"), "check", "rules", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout


@pytest.fixture(scope="module")
def prometheus(needs, tmp_path_factory) -> Iterator[httpx.Client]:
    """Start a Prometheus on the sample series, as if it had scraped them in the hour before END."""
    folder = tmp_path_factory.mktemp("prometheus")
    samples, empty = folder / "samples.txt", folder / "prometheus.yml"
    samples.write_text(sample_series.exposition())
    empty.write_text("{}")
    backfill = [needs("promtool"), "tsdb", "create-blocks-from", "openmetrics", samples, folder / "data"]
    subprocess.run(backfill, capture_output=True, check=True)
    address = f"127.0.0.1:{free_port()}"
    options = {
        "config.file": empty,
        "storage.tsdb.path": folder / "data",
        "storage.tsdb.retention.time": "100y",
        "web.listen-address": address,
    }
    command = [needs("prometheus"), *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
            waiting.until(lambda: _is_ready(client))
            yield client
    finally:
        process.terminate()
        process.wait(10)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def ask(client: httpx.Client, query: Query, choice: str) -> list[dict]:
    """Return the series that Grafana gets for the hour before END, and check how long that takes."""
    expression = filled(query, chosen(query, choice))
    route, when = "query_range", {"start": END - 3600, "end": END, "step": 15}
    if query.instant:
        route, when = "query", {"time": END}
    began = time.monotonic()
    response = client.post(f"/api/v1/{route}", data={"query": expression, **when})
    assert time.monotonic() - began < SLOWEST, query
    assert response.status_code == 200, f"{query}: {response.text}"
    return response.json()["data"]["result"]


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
def test_no_query_is_empty_on_recorded_series(prometheus, choice):
    assert [str(query) for query in EVERY if not ask(prometheus, query, choice)] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dashboard", "panel", "value"),
    [
        ("slipway-fleet", "Models", 2),
        ("slipway-fleet", "Alerts firing", 2),
        ("slipway-fleet", "Requests", 16),
        ("slipway-fleet", "Failed requests", 0.5),
        ("slipway-fleet", "Models with drift", 2),
        ("slipway-model", "Is it well?", 1),
        ("slipway-model", "Error budget left", 0.4),
        ("slipway-model", "Quality", 0.8),
        ("slipway-pipelines", "Last pass of the watch", 20),
        ("slipway-prediction-log", "Events lost", 72),
        ("slipway-resources", "Disk free", 0.2),
        ("slipway-resources", "Open files", 80 / 1024),
        ("slipway-resources", "Next credential expires in", 86_400),
    ],
)
def test_a_figure_is_that_of_the_recorded_series(prometheus, dashboard, panel, value):
    query = next(query for query in EVERY if (query.dashboard, query.panel) == (dashboard, panel) and query.instant)
    [found] = ask(prometheus, query, "All")
    assert float(found["value"][1]) == pytest.approx(value, rel=0.05)


@pytest.mark.slow
def test_the_champion_is_the_version_that_responds_and_none_that_did(prometheus):
    [query] = [query for query in EVERY if query.panel == "Champion"]
    assert [found["metric"] for found in ask(prometheus, query, "All")] == [{"version": "2"}]


@pytest.mark.slow
def test_the_heat_map_has_a_row_for_each_tenth_of_the_score(prometheus):
    query = next(query for query in EVERY if query.panel == "Scores")
    rates = {series["metric"]["le"]: float(series["values"][-1][1]) for series in ask(prometheus, query, "one")}
    assert rates.keys() == set(sample_series.SCORES) - {"+Inf"}
    assert list(rates.values()) == pytest.approx([6] * 10)  # of three roles


@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "labels"),
    [
        ("Promotion", {"usecase": "credit_risk", "version": "2"}),
        ("Swap", {"usecase": "credit_risk", "outcome": "refused"}),  # the first of all
    ],
)
def test_an_event_is_marked_when_it_happens(prometheus, event, labels):
    query = next(query for query in EVERY if query.panel == event)
    [found] = [series for series in ask(prometheus, query, "one") if series["metric"] == labels]
    times = [END - float(at) for at, _ in found["values"]]
    assert max(times) == 1800 and min(times) >= 1800 - 120


@pytest.mark.slow
def test_the_table_of_models_has_a_row_for_each_model_and_no_other(prometheus):
    models = {(labels.get("namespace"), labels["usecase"]) for labels in sample_series.USECASES}
    for query in (query for query in EVERY if query.dashboard == "slipway-fleet" and query.panel == "Models"):
        labels = [series["metric"] for series in ask(prometheus, query, "All")]
        found = [(one.get("namespace"), one["usecase"]) for one in labels if "usecase" in one]
        assert found == [] or (len(found) == 2 and set(found) == models), query


@pytest.mark.slow
def test_variables_find_the_use_cases_and_versions(prometheus):
    for dashboard in DASHBOARDS:
        for name, variable in variables(dashboard).items():
            if variable["type"] == "query":
                query = filled(Query(dashboard, name, variable["query"]), {"default": "credit_risk"})
                selector, label = query.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
                values = prometheus.get(
                    f"/api/v1/label/{label}/values", params={"match[]": selector, "start": END - 3600, "end": END}
                )
                assert values.json()["data"], f"{dashboard}: {name}: {query}"


@pytest.mark.slow
def test_the_status_page_reads_the_same_figures(prometheus):
    client = PrometheusApi(str(prometheus.base_url), "production")
    hours, budgets = client.last_hours(END, {"credit_risk": 0.5}), client.budgets(END)
    assert hours.keys() == budgets.keys() == {"credit_risk"}
    hour = hours["credit_risk"]
    assert (hour.requests[-1], hour.failed[-1], hour.latency[-1]) == pytest.approx((8, 0.5, 0.005), rel=0.05)
    assert budgets == {"credit_risk": Budgets(0.4, -0.1)}
