"""Default network: encoders of the features, followed by an ensemble of small networks."""

from __future__ import annotations

from typing import Any

import keras

from pipelines.modeling.networks import image, tabular
from pipelines.modeling.networks.layers import MEMBERS, Mean, MemberDense, Members
from slipway.model_api import Inputs

ENCODERS = {"numbers": tabular.numbers, "codes": tabular.codes, "images": image.images}


def build(inputs: Inputs, params: dict[str, Any]) -> keras.Model:
    """Build the network. Outputs are probabilities [n, k], or values [n, 1] in the target's unit for a regression."""
    sources = {
        name: keras.Input(array.shape[1:], dtype=array.dtype.name, name=name) for name, array in inputs.features.items()
    }
    parts = [ENCODERS[name](source, inputs, params) for name, source in sources.items()]
    encoding = parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="encoding")(parts)
    members = _members(inputs)(_ensemble(encoding, max(1, len(inputs.schema.classes)), params))
    return keras.Model(sources, Mean(name="mean")(members))


def _ensemble(values: keras.KerasTensor, outputs: int, params: dict[str, Any]) -> keras.KerasTensor:
    for layer in range(params["layers"]):
        values = MemberDense(params["width"], params["members"], name=f"hidden_{layer}")(values)
        values = keras.layers.Activation("relu", name=f"relu_{layer}")(values)
        values = keras.layers.Dropout(params["dropout"], name=f"dropout_{layer}")(values)
    return MemberDense(outputs, params["members"], name="outputs")(values)


def _members(inputs: Inputs) -> Members:
    if inputs.schema.task != "regression":
        return Members(name=MEMBERS)
    return Members(float(inputs.target.std()) or 1.0, float(inputs.target.mean()), name=MEMBERS)
