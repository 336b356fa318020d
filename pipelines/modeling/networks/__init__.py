"""The networks: the default one for tables, images and both, and where a use case's own comes from."""

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

__all__ = ["MEMBERS", "build", "calibrated", "load", "predict", "trainable"]

MEMBERS = "members"
ROWS_AT_ONCE = 4096


def build(usecase: UseCase, inputs: Inputs, params: dict[str, Any]) -> keras.Model:
    """The network of the folder's `model.py`, else the default one, checked to take and give what the bundle promises.

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
    """The network in a `model.keras` that this run wrote; layers of the use case's own are known by its `model.py`."""
    load_tensorflow()
    import keras

    from pipelines.modeling.networks import layers  # noqa: F401  its layers must be registered before they are loaded

    usecase.function("model", "build")
    return keras.saving.load_model(path, compile=False)


def trainable(network: keras.Model) -> keras.Model:
    """What is fitted: each member by its own loss where the network has a layer `members` [n, members, k]."""
    import keras

    if MEMBERS not in {layer.name for layer in network.layers}:
        return network
    return keras.Model(network.input, network.get_layer(MEMBERS).output)


def calibrated(network: keras.Model, temperature: float | None) -> keras.Model:
    """The network with its probabilities softened, in the graph; as it is without a temperature (a regression)."""
    import keras

    from pipelines.modeling.networks.layers import Temperature

    if temperature is None:
        return network
    return keras.Model(network.input, Temperature(temperature, name="temperature")(network.output))


def predict(network: keras.Model, features: dict[str, np.ndarray]) -> np.ndarray:
    """The network's outputs, float32 [n, k]."""
    return network.predict(features, batch_size=ROWS_AT_ONCE, verbose=0)
