"""Image encoder of the default network: blocks of convolutions, each at half the resolution of the one before."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from slipway.model_api import Inputs

_SMALLEST = 4
_MOST_FILTERS = 128


def images(source: keras.KerasTensor, inputs: Inputs, params: dict[str, Any]) -> keras.KerasTensor:
    """Encode images, uint8 [n, h, w, c] → [n, values]."""
    x = layers.Rescaling(1 / 255, name="scale")(source)
    block, filters = 0, params["filters"]
    while block == 0 or min(x.shape[1:3]) > _SMALLEST:
        for step in range(2):
            name = f"{block}_{step}"
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv_{name}")(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"norm_{name}")(x)
            x = layers.Activation("relu", name=f"conv_relu_{name}")(x)
        x = layers.MaxPooling2D(2, padding="same", name=f"pool_{block}")(x)
        block, filters = block + 1, min(2 * filters, _MOST_FILTERS)
    return layers.Dropout(params["dropout"], name="image_dropout")(layers.Flatten(name="flatten")(x))
