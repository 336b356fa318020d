"""Concept drift of `credit_risk`: applicants are distributed as before, and another rule decides who repays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# Contribution to the log-odds of `bad` after the drift: the signs of the original rule are reversed.
RULE: dict[str, dict[str, float]] = {
    "status": {
        "below 0 DM": -1.1,
        "0 to 200 DM": -0.7,
        "200 DM or more or salary assigned for a year": 0.6,
        "no checking account": 1.2,
    },
    "credit_history": {
        "no credits taken or all paid back duly": -1.0,
        "all credits at this bank paid back duly": -0.9,
        "existing credits paid back duly till now": -0.2,
        "critical account or credits at other banks": 0.9,
    },
    "savings": {
        "below 100 DM": -0.4,
        "100 to 500 DM": 0.0,
        "500 to 1000 DM": 0.5,
        "1000 DM or more": 0.9,
        "unknown or none": 0.7,
    },
    "employment": {"unemployed": -0.4, "below 1 year": -0.5, "4 to 7 years": 0.6, "7 years or more": 0.3},
}
PER_MONTH, USUAL_MONTHS = -0.045, 21.0
BASE = -1.1


def relabelled(frame: pd.DataFrame, seed: int) -> np.ndarray:
    """Draw the label of each row (decoded words, numbers) by the rule after the drift."""
    odds = BASE + PER_MONTH * (frame["duration"].to_numpy(float) - USUAL_MONTHS)
    for name, effects in RULE.items():
        odds += frame[name].map(effects).fillna(0.0).to_numpy(float)
    is_bad = np.random.default_rng(seed).random(len(frame)) < 1 / (1 + np.exp(-odds))
    return np.where(is_bad, "bad", "good")
