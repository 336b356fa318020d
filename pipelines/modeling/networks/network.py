"""Builds a use case's network, of its `model.py` or the default one, loads it, and computes its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.modeling.devices import load_tensorflow
from slipway.config import UseCase
from slipway.errors import UseCaseError
from slipway.model_api import Inputs

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    import numpy as np

ROWS_AT_ONCE = 4096


def build(usecase: UseCase, inputs: Inputs, params: dict[str, Any]) -> keras.Model:
    """Build the network of the use case's `model.py`, else the default one, and check its inputs and output.

    Raises:
        UseCaseError: the network's inputs or its output are not what the schema needs.
    """
    from pipelines.modeling.networks.default import build as default

    network = (usecase.function("model", "build") or default)(inputs, params)
    wanted, outputs = sorted(inputs.features), max(1, len(inputs.schema.classes))
    found = sorted(tensor.name for tensor in network.inputs)
    if found != wanted:
        raise UseCaseError(f"{usecase.name}: the inputs of model.py's network are {found}; {wanted} are needed.")
    if tuple(network.output.shape) != (None, outputs):
        each = "a value" if inputs.schema.task == "regression" else "a probability for each class"
        raise UseCaseError(
            f"{usecase.name}: the output of model.py's network has the shape {tuple(network.output.shape)}; "
            f"(None, {outputs}), {each}, is needed."
        )
    return network


def load(usecase: UseCase, path: Path) -> keras.Model:
    """Load the `model.keras` of this run, after the use case's `model.py`, which may register layers."""
    load_tensorflow()
    import keras

    from pipelines.modeling.networks import layers  # noqa: F401  registers its layers

    usecase.function("model", "build")
    return keras.saving.load_model(path, compile=False)


def trainable(network: keras.Model) -> keras.Model:
    """Return the model to fit: with the layer `Members` [n, members, k] as output, so that each has its own loss."""
    import keras

    from pipelines.modeling.networks.layers import Members

    members = [layer for layer in network.layers if isinstance(layer, Members)]
    return keras.Model(network.input, members[0].output) if members else network


def calibrated(network: keras.Model, temperature: float | None) -> keras.Model:
    """Append temperature scaling to the network; without a temperature (a regression) it stays as it is."""
    import keras

    from pipelines.modeling.networks.layers import Temperature

    if temperature is None:
        return network
    return keras.Model(network.input, Temperature(temperature, name="slipway_temperature")(network.output))


def predict(network: keras.Model, features: dict[str, np.ndarray]) -> np.ndarray:
    """Compute the network's outputs, float32 [n, k]."""
    return network.predict(features, batch_size=ROWS_AT_ONCE, verbose=0)
