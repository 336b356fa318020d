"""HTML report of a verdict: the drift results of each column, and live quality."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from monitoring.analysis.drift import Table
from monitoring.analysis.quality import TITLES
from monitoring.reports.histogram import draw
from slipway.contracts.columns import PREDICTION
from slipway.timestamps import parse, readable

_TEMPLATE = Path(__file__).with_name("report.html.j2")


def render(verdict: dict[str, Any], reference: Table, window: Table, links: dict[str, str]) -> str:
    """Render a verdict as one HTML document; `links` maps the text of a link to a file in the same folder."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "p_value": p_value, "percent": percent, "moment": moment, "name": name}
    shown = {test["name"] for test in [*verdict["features"], *verdict["predictions"]]}
    pictures = {name: draw(reference[name], window[name]) for name in shown}
    return environment.from_string(_TEMPLATE.read_text()).render(
        verdict=verdict,
        features=ordered(verdict["features"]),
        predictions=ordered(verdict["predictions"]),
        pictures=pictures,
        metric_names=TITLES,
        links=links,
    )


def ordered(entries: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Group the tests by column: drifted columns first, then those with the smallest p-values."""
    columns = [list(tests) for _, tests in groupby(entries, key=lambda entry: entry["name"])]
    return sorted(columns, key=lambda tests: min((not test["drifted"], test["adjusted_p"]) for test in tests))


def number(value: float) -> str:
    """Format with three digits; below a thousandth as `< 0.001`."""
    if 0 < abs(value) < 0.001:
        return "< 0.001"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def name(column: str) -> Markup:
    """A column's name, in which a line may break after an underscore."""
    return escape(column.removeprefix(PREDICTION)).replace("_", Markup("_<wbr>"))


def p_value(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def moment(time: str) -> str:
    """Format a time to the minute, in UTC."""
    return readable(parse(time))
