"""Kibana's saved objects: as their source makes them, whole, and in the shapes that Kibana 8 exports."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from elk.kibana import fleet_logs, model
from elk.kibana.__main__ import FILE, main
from elk.kibana.conditions import has, kql, lacks, query
from elk.kibana.data_views import DATA_VIEWS, EVERYTHING, DataView
from elk.kibana.lens import LAYER
from elk.kibana.panels import Panel
from elk.kibana.saved_objects import COLUMNS
from elk.kibana.searches import SEARCHES
from slipway import config
from slipway.clients.elasticsearch.streams import DATASETS

ROOT = Path(__file__).resolve().parents[3]
OBJECTS = [json.loads(line) for line in FILE.read_text().splitlines()]
DASHBOARDS = [model.dashboard(), fleet_logs.dashboard()]
PANELS = [panel for dashboard in DASHBOARDS for panel in dashboard.panels if isinstance(panel, Panel)]
# Bookmarks and Grafana's links name them
STABLE = {
    *(("index-pattern", f"slipway-{name}") for name in ("predictions", "feedback", "service", "audit", "all")),
    *(
        ("search", f"slipway-search-{name}")
        for name in ("prediction", "failures", "responses", "canaries", "labels", "audit", "problems")
    ),
    ("dashboard", "slipway-model"),
    ("dashboard", "slipway-fleet-logs"),
}
# Keys of a column in dashboards that are published for Kibana 8 (github.com/elastic/integrations)
PUBLISHED = {
    "terms": {"size", "orderBy", "orderDirection", "otherBucket", "missingBucket", "parentFormat"},
    "date_histogram": {"interval", "includeEmptyRows", "dropPartials"},
    "count": {"emptyAsNull"},
    "average": {"emptyAsNull"},
    "unique_count": {"emptyAsNull"},
    "percentile": {"percentile"},
}
# Keys of objects, panels and charts, in dashboards and searches of its packages nginx, aws_bedrock and gcp_vertexai
SHAPES = {
    "object": "attributes coreMigrationVersion id managed references type typeMigrationVersion",
    "dashboard": "controlGroupInput description kibanaSavedObjectMeta optionsJSON panelsJSON refreshInterval timeFrom "
    "timeRestore timeTo title version",
    "search": "columns description grid hideChart isTextBasedQuery kibanaSavedObjectMeta sort timeRestore title",
    "controls": "chainingSystem controlStyle ignoreParentSettingsJSON panelsJSON",
    "control": "explicitInput grow order type width",
    "input": "enhancements fieldName id selectedOptions title",
    "panel": "embeddableConfig gridData panelIndex panelRefName title type",
    "config": "attributes description enhancements",
    "lens": "description references state title type visualizationType",
    "state": "adHocDataViews datasourceStates filters internalReferences query visualization",
    "lnsMetric": "layerId layerType metricAccessor",
    "lnsDatatable": "columns layerId layerType",
    "lnsXY": "axisTitlesVisibilitySettings fittingFunction layers legend preferredSeriesType valueLabels",
    "layer": "accessors layerId layerType position seriesType showGridlines splitAccessor xAccessor",
}
COLUMN_KEYS = {"label", "customLabel", "dataType", "operationType", "sourceField", "isBucketed", "scale", "params"}


def dashboards() -> list[dict[str, Any]]:
    return [each for each in OBJECTS if each["type"] == "dashboard"]


def panels_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return json.loads(dashboard["attributes"]["panelsJSON"])


def mapped(view: DataView) -> set[str]:
    """The fields of a data view's streams, as `slipway elk setup` maps them."""
    datasets = [name.removeprefix("slipway.") for name in DATASETS if view in (EVERYTHING, _view(name))]
    files = [ROOT / "elk" / "templates" / f"{name}.yml" for name in ("common", *datasets)]
    return {field for file in files for field in yaml.safe_load(file.read_text())}


def _view(dataset: str) -> DataView:
    return next(view for view in DATA_VIEWS if view.pattern == f"logs-{dataset}-*")


def test_the_committed_file_is_what_the_source_makes(tmp_path: Path) -> None:
    main(["--out", str(tmp_path / "objects.ndjson")])
    assert FILE.read_text() == (tmp_path / "objects.ndjson").read_text(), "run `make -C elk kibana`"


def test_ids_are_unique_and_stay() -> None:
    ids = Counter((each["type"], each["id"]) for each in OBJECTS)
    assert ids.most_common(1)[0][1] == 1
    own = {("dashboard", model.own_id(name)) for name in config.names()}
    assert set(ids) == STABLE | own


def test_long_names_of_use_cases_have_dashboards_of_different_ids() -> None:
    names = ["x" * 80 + "1", "x" * 80 + "2"]
    assert len({model.own_id(name) for name in names}) == 2


def test_every_reference_is_to_an_object_of_the_file() -> None:
    known = {(each["type"], each["id"]) for each in OBJECTS}
    assert {(one["type"], one["id"]) for each in OBJECTS for one in each["references"]} <= known


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda each: each["id"])
def test_a_panel_finds_its_references_on_the_dashboard(dashboard: dict[str, Any]) -> None:
    names = {one["name"] for one in dashboard["references"]}
    for panel in panels_of(dashboard):
        if panel["type"] == "search":
            assert f"{panel['panelIndex']}:{panel['panelRefName']}" in names
        else:
            inner = panel["embeddableConfig"]["attributes"]["references"]
            assert {f"{panel['panelIndex']}:{one['name']}" for one in inner} <= names


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda each: each["id"])
def test_panels_are_within_the_grid_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    grids = [panel["gridData"] for panel in panels_of(dashboard)]
    assert all(grid["x"] + grid["w"] <= COLUMNS for grid in grids)
    for one, other in combinations(grids, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one["i"], other["i"])


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda each: each["id"])
def test_lens_columns_have_the_published_shape_and_charts_name_those_that_there_are(dashboard: dict[str, Any]) -> None:
    for panel in panels_of(dashboard):
        if panel["type"] != "lens":
            continue
        state = panel["embeddableConfig"]["attributes"]["state"]
        layer = state["datasourceStates"]["formBased"]["layers"][LAYER]
        assert sorted(layer["columns"]) == sorted(layer["columnOrder"])
        for column in layer["columns"].values():
            assert column.keys() - {"filter"} == COLUMN_KEYS
            assert column["params"].keys() == PUBLISHED[column["operationType"]]
            order = column["params"].get("orderBy", {})
            assert order.get("columnId", "metric0") in layer["columns"]
        named = re.findall(r'"((?:bucket|metric)\d)"', json.dumps(state["visualization"]))
        assert sorted(named) == sorted(layer["columnOrder"]), panel["title"]


def shaped(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """Refuse keys that published documents of this kind lack."""
    assert document.keys() <= set(SHAPES[kind].split()), kind
    return document


@pytest.mark.parametrize(
    "found", [each for each in OBJECTS if each["type"] != "index-pattern"], ids=lambda each: each["id"]
)
def test_objects_have_only_keys_of_published_ones(found: dict[str, Any]) -> None:
    attributes = shaped(found["type"], shaped("object", found)["attributes"])
    if found["type"] == "search":
        return
    for control in json.loads(shaped("controls", attributes["controlGroupInput"])["panelsJSON"]).values():
        shaped("input", shaped("control", control)["explicitInput"])
    for panel in panels_of(found):
        config = shaped("config", shaped("panel", panel)["embeddableConfig"])
        if panel["type"] == "lens":
            lens = shaped("lens", config["attributes"])
            chart = shaped(lens["visualizationType"], shaped("state", lens["state"])["visualization"])
            for layer in chart.get("layers", []):
                shaped("layer", layer)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_field_of_a_panel_is_mapped_in_its_streams(panel: Panel) -> None:
    conditions = [*panel.of, *(condition for metric in panel.metrics for condition in metric.of)]
    named = {*(bucket.field for bucket in panel.by), *(metric.field for metric in panel.metrics)}
    named |= {condition.field for condition in conditions}
    assert named - {"___records___"} <= mapped(panel.view)


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.id)
def test_every_field_of_a_search_is_mapped_in_its_streams(search: Any) -> None:
    assert {*search.columns, *(condition.field for condition in search.of)} <= mapped(search.view)


def test_controls_are_of_mapped_fields() -> None:
    assert all(field in mapped(view) for dashboard in DASHBOARDS for field, _, view in dashboard.controls)


def test_a_use_case_has_a_dashboard_that_shows_it_alone() -> None:
    own = next(each for each in dashboards() if each["id"] == "slipway-model-credit_risk")
    source = json.loads(own["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    assert source["query"] == {"language": "kuery", "query": 'slipway.usecase : "credit_risk"'}
    assert "slipway-usecase" not in own["attributes"]["controlGroupInput"]["panelsJSON"]


def test_conditions_say_the_same_in_kql_and_as_a_query() -> None:
    conditions = has("slipway.answered", True), has("log.level", "error", "critical"), lacks("error.type")
    assert kql(conditions) == 'slipway.answered : true and log.level : ("error" or "critical") and not error.type : *'
    assert query(conditions) == {
        "bool": {
            "filter": [
                {"terms": {"slipway.answered": [True]}},
                {"terms": {"log.level": ["error", "critical"]}},
                {"bool": {"must_not": [{"exists": {"field": "error.type"}}]}},
            ]
        }
    }
    assert (kql(()), query(())) == ("", {"match_all": {}})
