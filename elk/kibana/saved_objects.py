"""Saved objects as Kibana imports them: a line of JSON for each data view, saved search and dashboard.

The versions of their shapes are those of the exports in github.com/elastic/integrations for Kibana 8, which Kibana 8.19
migrates to its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from elk.kibana import fleet_logs, lens, model
from elk.kibana.conditions import Conditions, kql
from elk.kibana.data_views import DATA_VIEWS, DataView
from elk.kibana.panels import Dashboard, Panel, SearchPanel
from elk.kibana.searches import SEARCHES, SavedSearch

Json = dict[str, Any]
COLUMNS = 48  # of a dashboard's grid
_CORE_VERSION = "8.8.0"
_VERSIONS = {"index-pattern": "8.0.0", "search": "8.0.0", "dashboard": "8.9.0"}
_INDEX = "kibanaSavedObjectMeta.searchSourceJSON.index"


def saved_objects(usecases: Iterable[str]) -> list[Json]:
    """Make all objects; each of the use cases has a dashboard of its own beside the one with a choice."""
    dashboards = [model.dashboard(), *(model.dashboard(name) for name in sorted(usecases)), fleet_logs.dashboard()]
    return [
        *(_data_view(view) for view in DATA_VIEWS),
        *(_search(search) for search in SEARCHES),
        *(_dashboard(each) for each in dashboards),
    ]


def ndjson(objects: Iterable[Json]) -> str:
    """Write objects as the file that Kibana imports."""
    return "".join(f"{json.dumps(each, sort_keys=True)}\n" for each in objects)


def _data_view(view: DataView) -> Json:
    attributes = {
        "title": view.pattern,
        "name": view.name,
        "timeFieldName": "@timestamp",
        "fields": "[]",
        "fieldAttrs": "{}",
        "fieldFormatMap": json.dumps(dict(view.formats), sort_keys=True),
        "runtimeFieldMap": "{}",
        "sourceFilters": "[]",
        "typeMeta": "{}",
    }
    return _object("index-pattern", view.id, attributes, [])


def _search(search: SavedSearch) -> Json:
    attributes = {
        "title": search.title,
        "description": search.about,
        "columns": list(search.columns),
        "sort": [["@timestamp", "desc"]],
        "grid": {},
        "hideChart": False,
        "isTextBasedQuery": False,
        "timeRestore": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": _source(search.of, indexRefName=_INDEX)},
    }
    return _object("search", search.id, attributes, [_reference(_INDEX, "index-pattern", search.view.id)])


def _dashboard(found: Dashboard) -> Json:
    placed = list(_placed(found.panels))
    attributes = {
        "title": found.title,
        "description": found.about,
        "version": 1,
        "panelsJSON": json.dumps([each for each, _ in placed], sort_keys=True),
        "optionsJSON": json.dumps({"hidePanelTitles": False, "syncCursor": True, "useMargins": True}),
        "controlGroupInput": _controls(found),
        "kibanaSavedObjectMeta": {"searchSourceJSON": _source(found.of)},
        "timeRestore": True,
        "timeFrom": found.period,
        "timeTo": "now",
        "refreshInterval": {"pause": True, "value": 60000},
    }
    references = [reference for _, some in placed for reference in some]
    references += [
        _reference(f"controlGroup_{_control_id(field)}:optionsListDataView", "index-pattern", view.id)
        for field, _, view in found.controls
    ]
    return _object("dashboard", found.id, attributes, references)


def _placed(panels: Iterable[Panel | SearchPanel]) -> Iterable[tuple[Json, list[Json]]]:
    """Place panels from left to right in rows, each with its references."""
    x = y = row_height = 0
    for number, panel in enumerate(panels):
        if x + panel.width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        name = f"panel{number}"
        grid = {"x": x, "y": y, "w": panel.width, "h": panel.height, "i": name}
        x, row_height = x + panel.width, max(row_height, panel.height)
        yield _panel(panel, name, grid)


def _panel(panel: Panel | SearchPanel, name: str, grid: Json) -> tuple[Json, list[Json]]:
    placed = {"panelIndex": name, "gridData": grid, "title": panel.title}
    if isinstance(panel, SearchPanel):
        found = {**placed, "type": "search", "panelRefName": f"panel_{name}", "embeddableConfig": {"enhancements": {}}}
        return found, [_reference(f"{name}:panel_{name}", "search", panel.search_id)]
    shown = {"attributes": lens.attributes(panel), "enhancements": {}, "description": panel.description}
    references = [{**each, "name": f"{name}:{each['name']}"} for each in lens.references(panel)]
    return {**placed, "type": "lens", "embeddableConfig": shown}, references


def _controls(found: Dashboard) -> Json:
    controls = {
        _control_id(field): {
            "order": number,
            "width": "medium",
            "grow": True,
            "type": "optionsListControl",
            "explicitInput": {
                "id": _control_id(field),
                "fieldName": field,
                "title": title,
                "selectedOptions": [],
                "enhancements": {},
            },
        }
        for number, (field, title, _) in enumerate(found.controls)
    }
    ignored = dict.fromkeys(("ignoreFilters", "ignoreQuery", "ignoreTimerange", "ignoreValidations"), False)
    return {
        "chainingSystem": "HIERARCHICAL",
        "controlStyle": "oneLine",
        "ignoreParentSettingsJSON": json.dumps(ignored),
        "panelsJSON": json.dumps(controls, sort_keys=True),
    }


def _control_id(field: str) -> str:
    return f"control-{field.replace('.', '-')}"


def _source(conditions: Conditions, **more: str) -> str:
    return json.dumps({"query": {"language": "kuery", "query": kql(conditions)}, "filter": [], **more}, sort_keys=True)


def _reference(name: str, kind: str, id: str) -> Json:
    return {"name": name, "type": kind, "id": id}


def _object(kind: str, id: str, attributes: Json, references: list[Json]) -> Json:
    return {
        "type": kind,
        "id": id,
        "attributes": attributes,
        "references": references,
        "managed": False,
        "coreMigrationVersion": _CORE_VERSION,
        "typeMigrationVersion": _VERSIONS[kind],
    }
