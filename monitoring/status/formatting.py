"""Formatting of figures, times, texts and sparklines on the status page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from slipway.timestamps import parse

_BACKTICKED = re.compile(r"`([^`]+)`")
_UNITS = ((86_400, "days"), (3600, "h"), (60, "min"))
_SPARKLINE = Markup(
    '<svg class="spark" viewBox="0 0 59 48" preserveAspectRatio="none" role="img" aria-label="{}">'
    '{}<path d="{}"/></svg>'
)
_LIMIT = Markup('<line x1="0" x2="59" y1="{0}" y2="{0}"/>')


def ago(moment: str) -> str:
    """Format the age of an ISO 8601 time: `3 min ago`."""
    seconds = (datetime.now(UTC) - parse(moment)).total_seconds()
    for size, unit in _UNITS:
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


def duration(seconds: float | None) -> str:
    """Format a duration in the unit that fits: `3.1 ms`, `42 s`, `12 min`; a dash for None."""
    if seconds is None or seconds < 0.9995:
        return ms(None if seconds is None else 1000 * seconds)
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1, "s"))
    return f"{seconds / size:.3g} {unit}"


def rate(per_second: float | None) -> str:
    """Format a number of things a second; a dash for None."""
    if per_second is None:
        return "–"
    return f"{per_second:,.0f} / s" if per_second >= 100 else f"{per_second:.3g} / s"


def share(part: float | None) -> str:
    """Format a share of which small ones matter, as that of failures: `0.021 %`; a dash for None."""
    return "–" if part is None else f"{100 * part:.2g} %" if part < 0.1 else percent(part)


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


def sparkline(values: Sequence[float | None], name: str, unit: str, limit: float | None = None) -> Markup:
    """Draw values over the last hour, with their range as the text alternative; nothing where all are None.

    `limit` is a line across, where some value has reached it.
    """
    known = [value for value in values if value is not None]
    if not known:
        return Markup("")
    shown, top = _FORMATS[unit], max(known)
    text = f"{name} in the last hour: from {shown(min(known))} to {shown(top)}"
    line = _LIMIT.format(_height(limit, top)) if limit and limit <= top else ""
    return _SPARKLINE.format(text, line, "".join(_path(values, top)))


def _path(values: Sequence[float | None], top: float) -> Iterator[str]:
    """The path through the values, with a gap for each None; `h0` makes a point of one that stands alone."""
    before = None
    for place, value in enumerate(values):
        height = None if value is None else _height(value, top)
        if height is not None:
            yield f"M{place} {height}h0" if before is None else f"l1{height - before: d}"
        before = height


def _height(value: float, top: float) -> int:
    """Where a value is between 1, the top of the picture, and 47."""
    return round(47 - 46 * value / top) if top else 47


_FORMATS: dict[str, Callable[[float | None], str]] = {"duration": duration, "rate": rate, "share": share}
FILTERS = {
    "ago": ago,
    "percent": percent,
    "ms": ms,
    "figure": figure,
    "plain": plain,
    "tail": tail,
    "code": code,
    "sparkline": sparkline,
    **_FORMATS,
}
