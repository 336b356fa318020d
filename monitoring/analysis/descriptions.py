"""Descriptions of changes in a column, for people who know no statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd

_LONGEST = 40


def describe(method: str, before: np.ndarray, after: np.ndarray, significant: bool, drifted: bool) -> str:
    """Describe the change in one sentence, and why it is no alarm where it is none."""
    if len(after) == 0 or (method != "chi2_missing" and pd.isna(after).all()):
        return "No values in the window."
    if not significant:
        return "No more change than by chance."
    change = {"ks": _numeric_change, "chi2": _category_change, "chi2_missing": _missing_change}[method](before, after)
    return change if drifted else f"{change} Too little to matter."


def _missing_change(before: np.ndarray, after: np.ndarray) -> str:
    return f"Missing values went from {_percent(pd.isna(before).mean())} to {_percent(pd.isna(after).mean())}."


def _numeric_change(before: np.ndarray, after: np.ndarray) -> str:
    """Describe the shift of the median, or of the quartiles where the spread changed more."""
    low, middle, high = np.nanquantile(before, [0.25, 0.5, 0.75])
    now_low, now_middle, now_high = np.nanquantile(after, [0.25, 0.5, 0.75])
    if abs(now_middle - middle) >= abs((now_high - now_low) - (high - low)) / 2 and now_middle != middle:
        direction = "rose" if now_middle > middle else "fell"
        return f"The median {direction} from {middle:.3g} to {now_middle:.3g}."
    return f"The middle half went from {low:.3g} – {high:.3g} to {now_low:.3g} – {now_high:.3g}."


def _category_change(before: np.ndarray, after: np.ndarray) -> str:
    """Describe the category whose share changed most."""
    was = pd.Series(before).value_counts(normalize=True)
    now = pd.Series(after).value_counts(normalize=True)
    names = sorted({*was.index, *now.index}, key=str)
    change = now.reindex(names, fill_value=0) - was.reindex(names, fill_value=0)
    name = change.abs().idxmax()
    new = "" if name in was.index else ", never seen before,"
    return f"“{shortened(name)}”{new} went from {_percent(was.get(name, 0))} to {_percent(now.get(name, 0))}."


def shortened(name: object) -> str:
    text = str(name)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"
