"""Calibration of probabilities on validation rows by temperature scaling, and the decision threshold from costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from slipway.config import Cost

_LOG_RANGE = 3.0  # e^±3: softened or sharpened up to twentyfold
_SMALLEST = 1e-12


def soften(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Compute softmax(log p / temperature) over [n, k], as the layer `Temperature` does in the graph."""
    logits = np.log(np.maximum(probabilities.astype("float64"), _SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def log_loss(probabilities: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Compute the weighted mean of -log p of the true class."""
    losses = -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], _SMALLEST))
    return float(np.average(losses, weights=weight))


def temperature(probabilities: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Find the temperature with the smallest log loss (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    One number, so that a few hundred rows suffice and no ranking changes.
    """
    from scipy.optimize import minimize_scalar

    def loss(log: float) -> float:
        return log_loss(soften(probabilities, np.exp(log)), truth, weight)

    found = minimize_scalar(loss, bounds=(-_LOG_RANGE, _LOG_RANGE), method="bounded")
    return float(np.exp(found.x))


def threshold(cost: Cost | None) -> float:
    """Return the probability from which calling a row positive costs less than not doing so; 0.5 without costs.

    It follows from the calibrated probabilities (Elkan 2001, "The Foundations of Cost-Sensitive Learning"). The
    threshold with the smallest cost on the validation rows themselves would follow their noise: with 200 rows it moves
    by 0.1 and more from one split to the next.
    """
    return cost.false_positive / (cost.false_positive + cost.false_negative) if cost else 0.5
