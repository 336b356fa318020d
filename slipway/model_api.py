"""The interface of a use case's `model.py`: what it gets to build a network from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from slipway.contracts.schema import Schema


@dataclass(frozen=True)
class Inputs:
    """The inputs of `model.py`'s `build(inputs, params)`: the schema and the encoded training rows.

    `features` maps each input of the network (`numbers` float32 [n, N], `codes` int64 [n, C], `images` uint8
    [n, h, w, c]; one without features is absent) to the training rows; `target` is int64 [n] (index into
    `schema.classes`) or float32 [n].
    """

    schema: Schema
    features: dict[str, np.ndarray]
    target: np.ndarray
