"""Loss of the training and error for early stopping, for single networks and for ensembles.

Targets are float32 [n, k] for outputs [n, k], or [n, 1, k] for outputs of members [n, members, k].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

Tensor = Any


def truth(target: np.ndarray, classes: int, members: bool) -> np.ndarray:
    """Return the one-hot encoding of class indices, or values if there are no classes.

    Members get an axis of their own: (n, 1) against (n, members, 1) would broadcast to n × n in silence.
    """
    values = np.eye(classes, dtype="float32")[target] if classes else target.astype("float32")[:, None]
    return values[:, None] if members else values


def cross_entropy(truth: Tensor, probabilities: Tensor) -> Tensor:
    """Return the mean of the members' own losses, [n], so that the members stay different."""
    return _mean_of_members(-ops.sum(truth * ops.log(ops.maximum(probabilities, 1e-7)), axis=-1))


def squared(scale: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of a regression: squared distances in units of `scale`."""

    def loss(truth: Tensor, values: Tensor) -> Tensor:
        return _mean_of_members(ops.sum(ops.square((truth - values) / scale), axis=-1))

    return loss


def error(truth: Tensor, outputs: Tensor) -> Tensor:
    """Return the Brier score or squared error of the members' mean, [n], which is the served model."""
    if len(outputs.shape) == 3:
        truth, outputs = ops.mean(truth, axis=1), ops.mean(outputs, axis=1)
    return ops.sum(ops.square(truth - outputs), axis=-1)


def _mean_of_members(losses: Tensor) -> Tensor:
    return ops.mean(losses, axis=-1) if len(losses.shape) == 2 else losses
