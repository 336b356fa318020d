"""Panels as Lens visualizations by value: a dashboard then needs no other object than its data views."""

from __future__ import annotations

from typing import Any

from elk.kibana.conditions import kql
from elk.kibana.panels import Panel

Json = dict[str, Any]
LAYER = "layer0"
_VISUALIZATIONS = {"figure": "lnsMetric", "table": "lnsDatatable"}
_SERIES = {"line": "line", "bar": "bar_stacked", "area": "area_stacked"}


def attributes(panel: Panel) -> Json:
    """Write the attributes of a panel's visualization."""
    return {
        "title": panel.title,
        "description": panel.description,
        "type": "lens",
        "visualizationType": _VISUALIZATIONS.get(panel.kind, "lnsXY"),
        "references": references(panel),
        "state": {
            "adHocDataViews": {},
            "internalReferences": [],
            "filters": [],
            "query": {"language": "kuery", "query": kql(panel.of)},
            "datasourceStates": {"formBased": {"layers": {LAYER: _layer(panel)}}},
            "visualization": _visualization(panel),
        },
    }


def references(panel: Panel) -> list[Json]:
    return [{"type": "index-pattern", "id": panel.view.id, "name": f"indexpattern-datasource-layer-{LAYER}"}]


def _layer(panel: Panel) -> Json:
    ids = panel.column_ids()
    columns = [
        *(bucket.lens(panel.order()) for bucket in panel.by),
        *(metric.lens() for metric in panel.metrics),
    ]
    return {"columnOrder": ids, "columns": dict(zip(ids, columns, strict=True)), "incompleteColumns": {}}


def _visualization(panel: Panel) -> Json:
    layer = {"layerId": LAYER, "layerType": "data"}
    if panel.kind == "figure":
        return {**layer, "metricAccessor": "metric0"}
    if panel.kind == "table":
        return {**layer, "columns": [{"columnId": each, "isTransposed": False} for each in panel.column_ids()]}
    return _chart(panel, layer)


def _chart(panel: Panel, layer: Json) -> Json:
    series = _SERIES[panel.kind]
    split = {"splitAccessor": "bucket1"} if len(panel.by) > 1 else {}
    chart = {
        **layer,
        **split,
        "seriesType": series,
        "xAccessor": "bucket0",
        "accessors": panel.metric_ids(),
        "position": "top",
        "showGridlines": False,
    }
    return {
        "layers": [chart],
        "preferredSeriesType": series,
        "legend": {"isVisible": True, "position": "bottom", "showSingleSeries": True},
        "fittingFunction": "None",
        "valueLabels": "hide",
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": False, "yRight": False},
    }
