"""Chart of docs/explanation/serving-performance.md: requests per second of each server, SVG for light and dark mode."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

BARS = {  # the figure whose other half it is: what the chart calls it
    "bare Starlette, orjson, ONNX Runtime": "Starlette, bare",
    "FastAPI, ONNX Runtime, async": "FastAPI",
    "an async `@bentoml.api`": "BentoML's own API",
    "Flask with Keras's `model.predict`": "Flask, Keras",
}
OURS = "Slipway, all on"
WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 720, 26, 12, 150, 80, 44
STYLE = """
  text { font: 14px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-weight: 600 }
  .theirs { fill: #8c959f }
  .ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .theirs { fill: #6e7681 }
    .ours { fill: #4493f8 }
  }
"""


def draw(groups: dict[str, Any], path: Path) -> None:
    """Write the chart of what was measured; nothing where no other server was."""
    rates = rates_by_server(groups)
    if len(rates) < 2:
        return
    most, scale = max(rates.values()), WIDTH - LEFT - RIGHT
    height = TOP + len(rates) * (BAR + GAP)
    description = "; ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'role="img" aria-labelledby="title desc">',
        f'<title id="title">Requests a second on one core</title><desc id="desc">{description}</desc>',
        f"<style>{STYLE}</style>",
        '<text class="title" x="0" y="18">Requests a second on one core: 20 features, one row a request</text>',
    ]
    for index, (name, rate) in enumerate(rates.items()):
        y, width = TOP + index * (BAR + GAP), max(rate / most * scale, 2)
        kind, middle = ("ours" if name == OURS else "theirs"), y + BAR / 2 + 5
        parts += [
            f'<text x="{LEFT - 10}" y="{middle:g}" text-anchor="end">{name}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3"/>',
            f'<text x="{LEFT + width + 8:.1f}" y="{middle:g}">{rate:,.0f}</text>',
        ]
    path.write_text("\n".join([*parts, "</svg>", ""]))


def rates_by_server(groups: dict[str, Any]) -> dict[str, float]:
    """Medians, the fastest first; ours of the pairs with the other servers."""
    figures = [figure for name in ("peers", "flask") for figure in groups.get(name, {}).get("figures", [])]
    rates = {BARS[figure["name"]]: statistics.median(figure["theirs"]) for figure in figures}
    if figures:
        rates[OURS] = statistics.median(rate for figure in figures for rate in figure["ours"])
    return dict(sorted(rates.items(), key=lambda item: -item[1]))
