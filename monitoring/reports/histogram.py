"""Histograms of two samples as inline SVG: the reference in grey bars, the window in coloured ones before them."""

from __future__ import annotations

from html import escape

import numpy as np
import pandas as pd

from monitoring.analysis.descriptions import shortened
from monitoring.analysis.statistical_tests import WINSORISED_TAIL

WIDTH, HEIGHT, BINS, MOST_CATEGORIES = 220, 44, 22, 12
Bars = list[tuple[str, float, float]]
"""Name of each bar, and its share in the reference and in the window."""


def draw(reference: np.ndarray, window: np.ndarray) -> str:
    """Draw a column: bins of a number with many values, else a bar per value; missing values are left out."""
    before, after = reference[~pd.isna(reference)], window[~pd.isna(window)]
    if not len(before) and not len(after):
        return ""
    if reference.dtype.kind != "f":
        return _svg(_category_bars(before, after))
    few = np.unique(np.concatenate([before, after]))
    return _svg(_values(few, before, after) if len(few) <= MOST_CATEGORIES else _bins(before, after))


def _values(values: np.ndarray, before: np.ndarray, after: np.ndarray) -> Bars:
    return [
        (f"{value:g}", *(float(np.mean(sample == value)) if len(sample) else 0.0 for sample in (before, after)))
        for value in values
    ]


def _bins(before: np.ndarray, after: np.ndarray) -> Bars:
    """Equal bins from the lowest to the highest 1 % quantile of both; values outside belong to the outer bins."""
    tails = [np.quantile(sample, [WINSORISED_TAIL, 1 - WINSORISED_TAIL]) for sample in (before, after) if len(sample)]
    low, high = float(np.min(tails)), float(np.max(tails))
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    shares = [np.histogram(np.clip(sample, low, high), edges)[0] / max(len(sample), 1) for sample in (before, after)]
    names = [f"{start:.3g} – {end:.3g}" for start, end in zip(edges, edges[1:], strict=False)]
    return list(zip(names, *(part.tolist() for part in shares), strict=True))


def _category_bars(before: np.ndarray, after: np.ndarray) -> Bars:
    """The most common categories of both in alphabetical order, and one last bar for all others."""
    shares = pd.DataFrame(
        {side: pd.Series(part).value_counts(normalize=True) for side, part in (("before", before), ("after", after))}
    ).fillna(0.0)
    common = shares.sum(axis=1).nlargest(MOST_CATEGORIES).index
    shown = shares.loc[sorted(common, key=str)]
    bars = [(shortened(name), row["before"], row["after"]) for name, row in shown.iterrows()]
    rest = shares.drop(index=common).sum()
    return [*bars, ("all others", rest["before"], rest["after"])] if len(shares) > len(common) else bars


def _svg(bars: Bars) -> str:
    step = WIDTH / len(bars)
    tallest = max(max(before, after) for _, before, after in bars) or 1.0
    inside = "".join(_pair(i * step, step, bar, tallest) for i, bar in enumerate(bars))
    return (
        f'<svg class="histogram" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="shares in the reference and in the window">{inside}</svg>'
    )


def _pair(x: float, step: float, bar: tuple[str, float, float], tallest: float) -> str:
    name, before, after = bar
    gap = min(2.0, step * 0.12)
    title = f"<title>{escape(name)}: {100 * before:.1f} % of the reference, {100 * after:.1f} % of the window</title>"
    wide = _rect("reference", x + gap / 2, step - gap, before / tallest)
    narrow = _rect("window", x + step * 0.3, step * 0.4, after / tallest)
    hover = f'<rect class="hover" x="{x:.1f}" y="0" width="{step:.1f}" height="{HEIGHT}"/>'
    return f"<g>{title}{hover}{wide}{narrow}</g>"


def _rect(kind: str, x: float, width: float, share: float) -> str:
    height = share * (HEIGHT - 2)
    return f'<rect class="{kind}" x="{x:.1f}" y="{HEIGHT - height:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
