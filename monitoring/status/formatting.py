"""Formatting of figures, times and texts on the status page."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from markupsafe import Markup

from slipway.timestamps import parse

_BACKTICKED = re.compile(r"`([^`]+)`")


def ago(moment: str) -> str:
    """Format the age of an ISO 8601 time: `3 min ago`."""
    seconds = (datetime.now(UTC) - parse(moment)).total_seconds()
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def ms(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:.3g} ms"


def figure(number: float | None) -> str:
    """Format with three significant digits; a dash for None."""
    return "–" if number is None else f"{number:.3g}".replace("-", "−")


def plain(name: str) -> str:
    """Format a name for people: `credit_risk` as `credit risk`."""
    return name.replace("_", " ")


def tail(path: str) -> str:
    """The last three parts of a path: `var/logs/ship.log`."""
    return "/".join(path.split("/")[-3:])


def code(text: str) -> Markup:
    """Turn text between backticks into code; everything is escaped."""
    parts = enumerate(_BACKTICKED.split(text))  # every second part stood between backticks
    return Markup("").join(Markup("<code>{}</code>").format(part) if odd % 2 else part for odd, part in parts)


FILTERS = {"ago": ago, "percent": percent, "ms": ms, "figure": figure, "plain": plain, "tail": tail, "code": code}
