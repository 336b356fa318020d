"""Generator of synthetic data with the columns and codes of the German credit file.

Margins and the direction of every effect are those that the literature on the data set describes (30 % bad; a thin
checking account, a long or large credit and little savings are risky). No row of the real file is used. The risk has
a few interactions and is not linear in age, so that a network can be better than a linear model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

ROWS = 6000
BAD_RATE = 0.30

# Code → share of applicants, contribution to the log-odds of `bad`.
CATEGORIES: dict[str, dict[str, tuple[float, float]]] = {
    "status": {"A11": (0.27, 0.85), "A12": (0.27, 0.45), "A13": (0.06, -0.35), "A14": (0.40, -0.95)},
    "credit_history": {
        "A30": (0.04, 0.85),
        "A31": (0.05, 0.75),
        "A32": (0.53, 0.10),
        "A33": (0.09, 0.0),
        "A34": (0.29, -0.65),
    },
    "purpose": {
        "A40": (0.23, 0.40),
        "A41": (0.10, -0.75),
        "A42": (0.18, 0.05),
        "A43": (0.28, -0.25),
        "A44": (0.015, 0.10),
        "A45": (0.025, 0.25),
        "A46": (0.05, 0.55),
        "A48": (0.01, -0.60),
        "A49": (0.095, 0.0),
        "A410": (0.015, -0.10),
    },
    "savings": {
        "A61": (0.60, 0.30),
        "A62": (0.10, 0.15),
        "A63": (0.065, -0.30),
        "A64": (0.05, -0.70),
        "A65": (0.185, -0.50),
    },
    "employment": {
        "A71": (0.06, 0.30),
        "A72": (0.17, 0.40),
        "A73": (0.34, 0.05),
        "A74": (0.175, -0.45),
        "A75": (0.255, -0.15),
    },
    "personal_status": {"A91": (0.05, 0.0), "A92": (0.31, 0.0), "A93": (0.55, 0.0), "A94": (0.09, 0.0)},
    "other_debtors": {"A101": (0.91, 0.0), "A102": (0.04, 0.45), "A103": (0.05, -0.75)},
    "property": {"A121": (0.28, -0.30), "A122": (0.23, 0.0), "A123": (0.33, 0.05), "A124": (0.16, 0.35)},
    "other_installment_plans": {"A141": (0.14, 0.35), "A142": (0.05, 0.30), "A143": (0.81, -0.15)},
    "housing": {"A151": (0.18, 0.30), "A152": (0.71, -0.15), "A153": (0.11, 0.15)},
    "job": {"A171": (0.02, 0.05), "A172": (0.20, -0.05), "A173": (0.63, 0.0), "A174": (0.15, 0.05)},
    "telephone": {"A191": (0.60, 0.10), "A192": (0.40, -0.15)},
    "foreign_worker": {"A201": (0.96, 0.0), "A202": (0.04, 0.0)},
}

# Value → share, and the contribution of one unit above the mean to the log-odds.
COUNTS: dict[str, tuple[dict[int, float], float]] = {
    "installment_rate": ({1: 0.14, 2: 0.23, 3: 0.16, 4: 0.47}, 0.22),
    "residence_since": ({1: 0.13, 2: 0.31, 3: 0.15, 4: 0.41}, 0.0),
    "existing_credits": ({1: 0.63, 2: 0.33, 3: 0.03, 4: 0.01}, 0.15),
    "dependents": ({1: 0.845, 2: 0.155}, 0.0),
}

ORDER = (
    *("status", "duration", "credit_history", "purpose", "amount", "savings", "employment", "installment_rate"),
    *("personal_status", "other_debtors", "residence_since", "property", "age", "other_installment_plans", "housing"),
    *("existing_credits", "job", "dependents", "telephone", "foreign_worker", "risk"),
)


def load(seed: int) -> pd.DataFrame:
    """Generate 6,000 applications as text, in the columns and codes of `german.data`; `risk` is "1" good or "2" bad."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {}
    odds = np.zeros(ROWS)
    for name, shares in CATEGORIES.items():
        columns[name] = rng.choice(list(shares), ROWS, p=[share for share, _ in shares.values()])
        odds += [shares[code][1] for code in columns[name]]
    for name, (shares, effect) in COUNTS.items():
        columns[name] = rng.choice(list(shares), ROWS, p=list(shares.values()))
        odds += effect * (columns[name] - columns[name].mean())
    columns |= _credit(rng, columns["purpose"])
    odds += _curves(columns)
    columns["risk"] = np.where(rng.random(ROWS) < _probability(odds), "2", "1")
    return pd.DataFrame({name: columns[name].astype(str) for name in ORDER})


def _credit(rng: np.random.Generator, purpose: np.ndarray) -> dict[str, np.ndarray]:
    """Generate duration [months], amount [DM] and age [years]; large credits run longer, cars cost more."""
    duration = np.clip(rng.choice([6, 9, 12, 15, 18, 21, 24, 30, 36, 48, 60], ROWS, p=_DURATIONS), 4, 72)
    dear = np.isin(purpose, ["A41", "A49", "A410"])
    amount = np.exp(rng.normal(6.35 + 0.45 * np.log(duration) + 0.45 * dear, 0.55, ROWS))
    age = 19 + rng.gamma(1.7, 9.8, ROWS)
    return {
        "duration": duration,
        "amount": np.clip(amount, 250, 20_000).astype(int),
        "age": np.clip(age, 19, 75).astype(int),
    }


_DURATIONS = [0.08, 0.05, 0.19, 0.07, 0.12, 0.03, 0.20, 0.05, 0.10, 0.08, 0.03]


def _curves(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return log-odds that grow with duration and very large amounts, fall with age until 45, and two interactions."""
    duration, amount, age = (columns[name].astype(float) for name in ("duration", "amount", "age"))
    young = np.clip(45 - age, 0, None) / 10
    large = np.clip(amount - 6000, 0, None) / 4000
    long_and_thin = (duration > 24) & np.isin(columns["status"], ["A11", "A12"])
    young_and_renting = (age < 27) & (columns["housing"] == "A151")
    return 0.035 * (duration - 21) + 0.25 * young + 0.4 * large + 0.7 * long_and_thin + 0.5 * young_and_renting


def _probability(odds: np.ndarray) -> np.ndarray:
    """Return the logistic of the log-odds, shifted so that BAD_RATE of the applications are bad on average."""
    low, high = -10.0, 10.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if np.mean(1 / (1 + np.exp(-odds - middle))) > BAD_RATE else (middle, high)
    return 1 / (1 + np.exp(-odds - low))
