"""The committed dashboards, and their queries with variables filled in as Grafana fills them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
DASHBOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in FILES}
# By Grafana for a step of 15 s, which is also the distance of scrapes: four of them (`$__rate_interval`)
INTERVALS = {"__rate_interval": "1m0s", "__interval": "15s", "__range": "3600s"}
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

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.expression}"


def panels(dashboard: str) -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARDS[dashboard]["panels"] if panel["type"] != "row"]


def variables(dashboard: str) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in DASHBOARDS[dashboard]["templating"]["list"]}


def queries() -> Iterator[Query]:
    for dashboard, found in DASHBOARDS.items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield Query(dashboard, panel["title"], target["expr"], target.get("instant", False))
        for annotation in found.get("annotations", {}).get("list", []):
            yield Query(dashboard, annotation["name"], annotation["expr"])


def choices(dashboard: str, chosen: Chosen) -> Chosen:
    """Return a value of every variable: what was chosen, else All where there is such an option."""
    return {
        name: chosen.get(name, ALL if variable.get("includeAll") else chosen.get("default", "x"))
        for name, variable in variables(dashboard).items()
    }


def filled(query: Query, chosen: Chosen) -> str:
    """Return the expression as Grafana's Prometheus data source sends it to Prometheus."""
    known, given = variables(query.dashboard), choices(query.dashboard, chosen)

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return INTERVALS[name] if name in INTERVALS else _interpolated(known[name], given[name])

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
