"""Layers of the default network: serializable, and of `keras.ops` that export to ONNX.

Imputation, scaling and embedding are part of the graph, so that training and serving cannot differ. Sizes and encodings
follow "On Embeddings for Numerical Features in Tabular Deep Learning" (https://arxiv.org/abs/2203.05556) and "TabM"
(https://arxiv.org/abs/2410.24210).
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

register = keras.saving.register_keras_serializable(package="slipway")
MEMBERS = "members"  # the name of the layer whose output has one prediction per member
_STEEPEST = 1e30  # edges 1e-40 apart would give a slope that is infinite in float32


def uniform(fan_in: int) -> keras.initializers.Initializer:
    """Return an initializer by fan-in per member: Keras' own would take the leading axis for a receptive field."""
    limit = 1.0 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-limit, limit)


@register
class NumberEncoding(keras.layers.Layer):
    """Encodes `numbers` [n, N], NaN where missing → [n, N * width].

    A missing number becomes the median plus an indicator. A number becomes its position between the quantile
    `edges` (N ascending lists), piece by piece, and trainable waves of its quantile; outside the edges it
    stays at the nearest one. A dense layer per feature brings both to `width` values.
    """

    def __init__(self, medians, edges, frequencies: int, sigma: float, width: int, **kwargs):
        super().__init__(**kwargs)
        self.medians, self.edges = [float(m) for m in medians], [[float(e) for e in row] for row in edges]
        self.frequencies, self.sigma, self.width = frequencies, sigma, width
        pieces = max(1, max(len(row) - 1 for row in self.edges))
        self.starts = np.zeros((len(self.edges), pieces), "float32")
        self.slopes = np.zeros((len(self.edges), pieces), "float32")  # 0 where a feature has fewer pieces
        for row, (start, slope) in zip(self.edges, zip(self.starts, self.slopes, strict=True), strict=True):
            start[: len(row) - 1] = row[:-1]
            slope[: len(row) - 1] = np.minimum(1.0 / np.diff(row), _STEEPEST)
        self.pieces = np.maximum(1, (self.slopes > 0).sum(axis=1)).astype("float32")

    def build(self, shape):
        features, inputs = self.starts.shape[0], self.starts.shape[1] + 2 * self.frequencies
        waves = keras.initializers.RandomNormal(stddev=self.sigma)
        self.waves = self.add_weight(shape=(features, self.frequencies), initializer=waves, name="waves")
        self.kernel = self.add_weight(shape=(features, inputs, self.width), initializer=uniform(inputs), name="kernel")
        # Zero, so that a feature that was never missing in training is imputed by its median in service.
        self.absent = self.add_weight(shape=(features, self.width), initializer="zeros", name="absent")
        self.bias = self.add_weight(shape=(features, self.width), initializer="zeros", name="bias")

    def call(self, numbers):
        missing = ops.isnan(numbers)
        values = ops.where(missing, ops.convert_to_tensor(self.medians, "float32"), numbers)
        pieces = ops.clip((ops.expand_dims(values, -1) - self.starts) * self.slopes, 0.0, 1.0)  # [n, N, pieces]
        quantile = ops.sum(pieces, axis=-1) / self.pieces
        angles = 2 * math.pi * ops.expand_dims(quantile, -1) * self.waves
        encoded = ops.concatenate([pieces, ops.sin(angles), ops.cos(angles)], axis=-1)
        dense = ops.transpose(ops.matmul(ops.transpose(encoded, (1, 0, 2)), self.kernel), (1, 0, 2))
        dense = dense + self.bias + ops.expand_dims(ops.cast(missing, "float32"), -1) * self.absent
        return ops.reshape(ops.relu(dense), (-1, self.starts.shape[0] * self.width))

    def get_config(self):
        own = ("medians", "edges", "frequencies", "sigma", "width")
        return super().get_config() | {name: getattr(self, name) for name in own}


@register
class CodeEncoding(keras.layers.Layer):
    """Embeds `codes` [n, C] (0 missing, 1 unknown, 2… the vocabulary) → [n, sum of widths].

    `sizes` counts each feature's codes; its embedding has min(16, size) values. A code outside becomes
    1: a bare gather would read another feature's row. In training a small share of codes is replaced by
    1, so that "unknown" has learned to mean an average row.
    """

    def __init__(self, sizes, unknown_rate: float, **kwargs):
        super().__init__(**kwargs)
        self.sizes, self.unknown_rate = [int(s) for s in sizes], unknown_rate
        self.width = min(16, max(self.sizes))
        self.offsets = np.cumsum([0, *self.sizes[:-1]]).astype("int64")
        self.seed = keras.random.SeedGenerator()

    def build(self, shape):
        shape = (sum(self.sizes), self.width)
        self.table = self.add_weight(shape=shape, initializer=keras.initializers.RandomNormal(stddev=0.3), name="table")

    def call(self, codes, training=False):
        known = ops.logical_and(codes >= 0, codes < ops.convert_to_tensor(self.sizes, "int64"))
        if training:
            kept = keras.random.uniform(ops.shape(codes), seed=self.seed) >= self.unknown_rate
            known = ops.logical_and(known, kept)
        rows = ops.where(known, codes, ops.ones_like(codes)) + self.offsets
        return ops.reshape(ops.take(self.table, rows, axis=0), (-1, len(self.sizes) * self.width))

    def get_config(self):
        return super().get_config() | {"sizes": self.sizes, "unknown_rate": self.unknown_rate}


@register
class MemberDense(keras.layers.Layer):
    """Dense layer per member, in one batched product: [n, i] or [members, n, i] → [members, n, units]."""

    def __init__(self, units: int, members: int, **kwargs):
        super().__init__(**kwargs)
        self.units, self.members = units, members

    def build(self, shape):
        inputs = shape[-1]
        self.kernel = self.add_weight(
            shape=(self.members, inputs, self.units), initializer=uniform(inputs), name="kernel"
        )
        self.bias = self.add_weight(shape=(self.members, 1, self.units), initializer="zeros", name="bias")

    def call(self, values):
        return ops.matmul(values, self.kernel) + self.bias

    def get_config(self):
        return super().get_config() | {"units": self.units, "members": self.members}


@register
class Members(keras.layers.Layer):
    """Converts outputs [members, n, k] to [n, members, k]: probabilities, or values in the target's unit.

    `scale` and `center` are the target's, for regression; None makes probabilities.
    """

    def __init__(self, scale: float | None = None, center: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.center = scale, center

    def call(self, outputs):
        outputs = ops.transpose(outputs, (1, 0, 2))
        return ops.softmax(outputs, axis=-1) if self.scale is None else outputs * self.scale + self.center

    def get_config(self):
        return super().get_config() | {"scale": self.scale, "center": self.center}


@register
class Mean(keras.layers.Layer):
    """Mean of the members, the ensemble's output: [n, members, k] → [n, k]."""

    def call(self, members):
        return ops.mean(members, axis=1)


@register
class Temperature(keras.layers.Layer):
    """Softens probabilities [n, k]: softmax(log p / temperature). It changes no ranking and, for k > 2, no label."""

    def __init__(self, temperature: float, **kwargs):
        super().__init__(**kwargs)
        self.temperature = float(temperature)

    def call(self, probabilities):
        return ops.softmax(ops.log(ops.maximum(probabilities, 1e-12)) / self.temperature, axis=-1)

    def get_config(self):
        return super().get_config() | {"temperature": self.temperature}
