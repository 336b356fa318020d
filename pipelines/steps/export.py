"""The trained network as it is served, proven to be the same: an export may succeed and leave a file that is not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.artifacts import read_json, write_json
from pipelines.data.dataset import read_side
from pipelines.modeling import networks
from pipelines.packaging.probe import probe_rows
from slipway.config import UseCase
from slipway.contracts.schema import Feature, Schema
from slipway.errors import BundleError
from slipway.inference import Predictor, encode, rows_from_frame

if TYPE_CHECKING:
    import keras

LIMIT = 1e-5
LIMIT_ALONE = 1e-6
_COMPARED = 500
_ALONE = 20
_UNSEEN = "\N{REPLACEMENT CHARACTER}"
_FAR = 1e30


def export(usecase: UseCase, split: Path, trained: Path, out: Path) -> None:
    """Leave `serve/`, as the bundle will have it, and `parity.json` in `out`.

    Raises:
        BundleError: the exported network does not load, or does not answer as the one in `model.keras`.
    """
    schema, training = Schema.load(trained / "schema.json"), read_json(trained / "training.json")
    network = networks.calibrated(networks.load(usecase, trained / "model.keras"), training["temperature"])
    frame = read_side(split, "validation", schema)
    rows = rows_from_frame(schema, frame[:_COMPARED])
    write_serve(out, usecase, schema, network, rows, probe_rows(schema, frame))
    write_json(out / "parity.json", measure_parity(network, Predictor(out, "cpu"), rows, training["target_scale"]))


def write_serve(
    folder: Path,
    usecase: UseCase,
    schema: Schema,
    network: keras.Model,
    rows: list[dict[str, Any]],
    probe: list[dict[str, Any]],
) -> None:
    """Write `serve/`; the probe's outputs are the exported network's own."""
    serve = folder / "serve"
    serve.mkdir(parents=True)
    to_onnx(network, serve / "model.onnx", encode(schema, rows[:1]))
    schema.save(serve / "schema.json")
    write_json(serve / "serving.json", usecase.serving.model_dump())
    write_json(serve / "probe.json", {"rows": probe, "outputs": []})
    predictor = Predictor(folder, "cpu")
    outputs = predictor.run(predictor.encode(predictor.probe_rows()))
    write_json(serve / "probe.json", {"rows": probe, "outputs": outputs.tolist()})


def to_onnx(network: keras.Model, path: Path, features: dict[str, np.ndarray]) -> None:
    """Write the network to `path`; `features` are a few encoded rows, since a model that never ran does not export."""
    network({name: rows[:1] for name, rows in features.items()})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)  # Keras' own, on its import
        network.export(path, format="onnx", verbose=False)


def measure_parity(
    network: keras.Model, predictor: Predictor, rows: list[dict[str, Any]], scale: float
) -> dict[str, Any]:
    """The largest difference between Keras and the predictor, on the rows and on strange ones made from them.

    `scale` is the unit of differences: 1 for probabilities, the target's standard deviation in a regression. Also the
    largest difference between a row alone and the same row among all.

    Raises:
        BundleError: a difference is above its limit, so the network that would be served is not the one judged.
    """
    tried = [*rows, *out_of_range_rows(rows, predictor.schema)]
    feeds = encode(predictor.schema, tried)
    together = predictor.run(feeds)
    alone = np.concatenate([predictor.run(encode(predictor.schema, [row])) for row in tried[:_ALONE]])
    rounding = 2 * np.spacing(np.abs(together)) if predictor.schema.task == "regression" else np.zeros_like(together)
    found = {
        "rows": len(tried),
        "keras": _largest(predict_on_cpu(network, feeds) - together, rounding, scale),
        "keras_limit": LIMIT,
        "alone": _largest(alone - together[:_ALONE], rounding[:_ALONE], scale),
        "alone_limit": LIMIT_ALONE,
    }
    for name, what in (("keras", "from Keras' outputs"), ("alone", "between a row alone and the same row in a batch")):
        if not found[name] <= found[f"{name}_limit"]:  # NaN, too
            raise BundleError(
                f"the exported network differs by {found[name]:.2g} {what}; at most {found[f'{name}_limit']:g} is "
                "allowed. Use layers made of keras.ops only: Normalization, lookups and Discretization do not export."
            )
    return found


def out_of_range_rows(rows: list[dict[str, Any]], schema: Schema) -> Iterator[dict[str, Any]]:
    """For each feature but images, rows in which it is missing, unknown or far out of range; one with all missing."""
    features = [feature for feature in schema.inputs if feature.kind != "image"]
    for index, feature in enumerate(features):
        for value in _strange_values(feature):
            yield {**rows[index % len(rows)], feature.name: value}
    yield {**rows[0], **{feature.name: None for feature in features}}


def predict_on_cpu(network: keras.Model, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """Keras' outputs computed where they are compared: a GPU sums in another order."""
    import tensorflow as tf

    with tf.device("/CPU:0"):
        return networks.predict(network, feeds)


def _strange_values(feature: Feature) -> list[Any]:
    return {"category": [None, _UNSEEN], "boolean": [None]}.get(feature.kind, [None, -_FAR, _FAR])


def _largest(differences: np.ndarray, rounding: np.ndarray, scale: float) -> float:
    """Beyond `rounding`: a target around 1e6 with a deviation of 1 has float32 steps of 0.06."""
    return float(np.maximum(np.abs(differences) - rounding, 0).max() / scale)
