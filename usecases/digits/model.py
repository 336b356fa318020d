"""Small convolutional network: two blocks of convolutions and one dense layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers

if TYPE_CHECKING:
    from slipway.model_api import Inputs


def build(inputs: Inputs, params: dict[str, Any]) -> keras.Model:
    """Build the network: images uint8 [n, 8, 8, 1] → probabilities [n, 10]."""
    images = keras.Input(inputs.features["images"].shape[1:], dtype="uint8", name="images")
    x = layers.Rescaling(1 / 255, name="scale")(images)
    for block, filters in enumerate((params["filters"], 2 * params["filters"])):
        for step in range(2):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv_{block}_{step}")(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"norm_{block}_{step}")(x)
            x = layers.Activation("relu", name=f"relu_{block}_{step}")(x)
        x = layers.MaxPooling2D(name=f"pool_{block}")(x)
        x = layers.Dropout(params["dropout"], name=f"drop_{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense")(x)
    x = layers.Dropout(params["dropout"], name="drop_dense")(x)
    return keras.Model({"images": images}, layers.Dense(len(inputs.schema.classes), "softmax", name="classes")(x))
