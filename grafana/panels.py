"""Panels as every dashboard has them: title, description, unit, thresholds where there is a bound.

Colors are Grafana's names, which it draws for the light and for the dark theme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard, heatmap, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
)
from grafana_foundation_sdk.builders.dashboard import DashboardLink, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.dashboard import Panel as PanelModel
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale

from grafana import links
from grafana.variables import PROMETHEUS

GREEN, YELLOW, RED = "green", "yellow", "red"
Steps = Sequence[Threshold]
Panel = Builder[PanelModel]


def below(warning: float, bad: float | None = None) -> Steps:
    """Return thresholds of a value that is bad when it is low; without `bad`, the warning is red."""
    if bad is None:
        return Threshold(None, RED), Threshold(warning, GREEN)
    return Threshold(None, RED), Threshold(bad, YELLOW), Threshold(warning, GREEN)


def above(warning: float, bad: float | None = None) -> Steps:
    """Return thresholds of a value that is bad when it is high; without `bad`, the warning is red."""
    if bad is None:
        return Threshold(None, GREEN), Threshold(warning, RED)
    return Threshold(None, GREEN), Threshold(warning, YELLOW), Threshold(bad, RED)


def states(names: Mapping[int, tuple[str, str]]) -> list[ValueMapping]:
    """Return the mapping of values to a word and its color."""
    found = {str(value): ValueMappingResult(text=text, color=color) for value, (text, color) in names.items()}
    return [ValueMap(options=found)]


DETECTED = states({0: ("no drift", GREEN), 1: ("drift", RED)})
BOUND = states({0: ("kept", GREEN), 1: ("missed", RED)})


def stat(title: str, about: str, unit: str, *targets: Dataquery, steps: Steps = (), **common: Any) -> stats.Panel:
    """Return one figure, colored by its thresholds; by default six fit into a row."""
    panel = _panel(stats.Panel(), title, about, unit, targets, **{"width": 4, "height": 4, **common})
    panel.graph_mode(BigValueGraphMode.NONE).reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    panel.color_mode(BigValueColorMode.VALUE if steps else BigValueColorMode.NONE)
    return panel.thresholds(_thresholds(steps))


def name(title: str, about: str, *targets: Dataquery, **common: Any) -> stats.Panel:
    """Return the names of the series instead of their values, such as the version that is served."""
    return stat(title, about, "none", *targets, **common).text_mode(BigValueTextMode.NAME)


def graph(
    title: str, about: str, unit: str, *targets: Dataquery, steps: Steps = (), stacked: bool = False, **common: Any
) -> timeseries.Panel:
    """Return lines over time, or areas on top of each other; thresholds are dashed lines."""
    panel = _panel(timeseries.Panel(), title, about, unit, targets, **{"width": 12, "height": 8, **common})
    panel.legend(
        VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )
    if stacked:
        panel.fill_opacity(50).line_width(0).stacking(StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if steps:
        panel.thresholds(_thresholds(steps))
        panel.thresholds_style(GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return panel.axis_soft_min(0).show_points(VisibilityMode.NEVER)


def timeline(
    title: str, about: str, mapping: list[ValueMapping], *targets: Dataquery, **common: Any
) -> statetimeline.Panel:
    """Return a band of states for each series."""
    panel = _panel(statetimeline.Panel(), title, about, "none", targets, **{"width": 12, "height": 8, **common})
    return panel.mappings(mapping).merge_values(True).show_value(VisibilityMode.NEVER).row_height(0.8)


def heat_map(title: str, about: str, unit: str, target: Dataquery, **common: Any) -> heatmap.Panel:
    """Return a histogram over time: a row for each bucket, darker where more is in it; `unit` is that of the rows."""
    panel = _panel(heatmap.Panel(), title, about, unit, [target], **{"width": 12, "height": 8, **common})
    colors = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").fill("text").steps(64)
    panel.color(colors.scale(HeatmapColorScale.EXPONENTIAL).exponent(0.5)).exemplars_color("text")
    panel.rows_frame(heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.LE))
    panel.y_axis(heatmap.YAxisConfig().unit(unit)).cell_values(heatmap.CellValues().unit("cps"))
    return panel.mode(TooltipDisplayMode.SINGLE).show_y_histogram().show_value(VisibilityMode.NEVER)


def listing(title: str, about: str, columns: Mapping[str, str], *targets: Dataquery, **common: Any) -> table.Panel:
    """Return a table with a row for each set of labels; `columns` are the fields to show, and as what."""
    panel = _panel(table.Panel(), title, about, "short", targets, **{"width": 24, "height": 10, **common})
    shown = {"include": {"names": list(columns)}}
    order = {"indexByName": {column: index for index, column in enumerate(columns)}, "excludeByName": {}}
    if len(targets) > 1:
        panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(DataTransformerConfig(id_val="filterFieldsByName", options=shown))
    panel.with_transformation(
        DataTransformerConfig(id_val="organize", options={**order, "renameByName": dict(columns)})
    )
    return panel


def column(
    panel: table.Panel,
    name: str,
    unit: str = "",
    steps: Steps = (),
    mapping: list[ValueMapping] | None = None,
    link: DashboardLink | None = None,
) -> None:
    """Describe a column of a table by its shown name: unit, thresholds, words, and where its cells lead."""
    found: dict[str, Any] = {}
    if unit:
        found["unit"] = unit
    if steps:
        found["thresholds"] = _thresholds(steps).build()
    if mapping:
        found["mappings"] = mapping
    if steps or mapping:
        found["custom.cellOptions"] = {"type": "color-text"}
    if link:
        built = link.build()
        found["links"] = [{"title": built.title, "url": built.url, "targetBlank": built.target_blank}]
    panel.override_by_name(name, [DynamicConfigValue(id_val=key, value=value) for key, value in found.items()])


def series(panel: Any, name: str, **properties: Any) -> Any:
    """Change how one line or figure is drawn, by its name; a dot of a property is written as two underscores."""
    values = [DynamicConfigValue(id_val=key.replace("__", "."), value=value) for key, value in properties.items()]
    return panel.override_by_name(name, values)


def bound(panel: timeseries.Panel, name: str) -> timeseries.Panel:
    """Draw a line as what others are compared with: dashed and red."""
    style = {"fill": "dash", "dash": [10, 10]}
    return series(panel, name, custom__lineStyle=style, color={"mode": "fixed", "fixedColor": RED})


def right_axis(panel: timeseries.Panel, name: str, unit: str) -> timeseries.Panel:
    """Move a line to an axis of its own; thresholds are of the left one."""
    return series(panel, name, unit=unit, custom__axisPlacement="right", custom__thresholdsStyle={"mode": "off"})


def row(title: str) -> dashboard.Row:
    return dashboard.Row(title)


def _panel(
    panel: Any,
    title: str,
    about: str,
    unit: str,
    targets: Sequence[Dataquery],
    *,
    width: int,
    height: int,
    runbook: str = "",
    see: Sequence[DashboardLink] = (),
    empty: str = "",
) -> Any:
    """Fill in what panels of every kind have; `empty` is shown instead of a value where there is none."""
    panel.title(title).description(about).unit(unit).datasource(PROMETHEUS).span(width).height(height)
    for index, target in enumerate(targets):
        panel.with_target(target.ref_id(chr(ord("A") + index)))
    found = [*see, *([links.named(f"Runbook {runbook}", links.runbook(runbook))] if runbook else [])]
    if found:
        panel.links(found)
    return panel.no_value(empty) if empty else panel


def _thresholds(steps: Steps) -> ThresholdsConfig:
    return ThresholdsConfig().steps(list(steps or [Threshold(None, "text")]))
