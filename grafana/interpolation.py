"""Queries of the committed dashboards, with their variables interpolated as Grafana does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "dashboards"
# Those of one use case have the queries of Model
FILES = sorted(path for path in FOLDER.glob("*.json") if not path.stem.startswith("slipway-model-"))
DASHBOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in FILES}
SCRAPE_SECONDS = 15
ALL = "$__all"
_VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)")
Chosen = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Query:
    """One PromQL expression of a panel or an annotation."""

    dashboard: str
    panel: str
    expression: str
    instant: bool = False
    legend: str = ""

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.expression}"


def panels(dashboard: str) -> list[dict[str, Any]]:
    """List the panels of a dashboard, without its rows."""
    return [panel for panel in DASHBOARDS[dashboard]["panels"] if panel["type"] != "row"]


def variables(dashboard: str) -> dict[str, dict[str, Any]]:
    """Return the variables of a dashboard by name."""
    return {variable["name"]: variable for variable in DASHBOARDS[dashboard]["templating"]["list"]}


def queries() -> Iterator[Query]:
    """Yield the queries of all panels and annotations."""
    for dashboard, found in DASHBOARDS.items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                legend = target.get("legendFormat", "")
                yield Query(dashboard, panel["title"], target["expr"], target.get("instant", False), legend)
        for annotation in found.get("annotations", {}).get("list", []):
            yield Query(dashboard, annotation["name"], annotation["expr"])


def choices(dashboard: str, chosen: Chosen) -> Chosen:
    """Return a value of every variable: what was chosen, else All where there is such an option."""
    return {
        name: chosen.get(name, ALL if variable.get("includeAll") else chosen.get("default", "x"))
        for name, variable in variables(dashboard).items()
    }


def intervals(scrape_seconds: int = SCRAPE_SECONDS, range_seconds: int = 3600, step_seconds: int = 0) -> dict[str, str]:
    """Return Grafana's own variables for the time range of a dashboard and the step of a panel.

    The step is at least the distance of scrapes. The interval of rates has four scrapes, or a step and a scrape.
    """
    step = max(step_seconds, scrape_seconds)
    minutes, seconds = divmod(max(4 * scrape_seconds, step + scrape_seconds), 60)
    rate = f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
    return {"__rate_interval": rate, "__interval": f"{step}s", "__range": f"{range_seconds}s"}


def filled(query: Query, chosen: Chosen, own: Mapping[str, str] | None = None) -> str:
    """Return the expression as Grafana's Prometheus data source sends it to Prometheus; `own` as of `intervals`."""
    known, given = variables(query.dashboard), choices(query.dashboard, chosen)
    grafanas = intervals() if own is None else own

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return grafanas[name] if name in grafanas else _interpolated(known[name], given[name])

    return _VARIABLE.sub(value, query.expression)


def _interpolated(variable: Mapping[str, Any], value: str | Sequence[str]) -> str:
    """Return a variable's value in an expression; of one with several values or All, it is a regular expression."""
    if value == ALL:
        return str(variable["allValue"])
    if not variable.get("multi") and not variable.get("includeAll"):
        return re.sub(r"(['\"\\])", r"\\\1", str(value))
    values = [_escaped(one) for one in ([value] if isinstance(value, str) else value)]
    return values[0] if len(values) == 1 else f"({'|'.join(values)})"


def _escaped(text: str) -> str:
    return re.sub(r"[$^*{}\[\]'+?.()|\\]", lambda found: "\\\\" + found[0], text)
