"""Export the trained network for serving and check its parity with Keras: an export may succeed and still differ."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.artifacts import ParityReport, Probe, TrainingReport, write_json
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
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_FAR = 1e30


def export(usecase: UseCase, split: Path, trained: Path, out: Path) -> None:
    """Write `serve/`, as the bundle will have it, and `parity.json` into `out`.

    Raises:
        BundleError: the exported network does not load, or its outputs differ from those of `model.keras`.
    """
    schema, training = Schema.load(trained / "schema.json"), TrainingReport.read(trained)
    network = networks.calibrated(networks.load(usecase, trained / "model.keras"), training.temperature)
    frame = read_side(split, "validation", schema)
    rows = rows_from_frame(schema, frame[:_COMPARED])
    write_serve(out, usecase, schema, network, rows, probe_rows(schema, frame))
    measure_parity(network, Predictor(out, "cpu"), rows, training.target_scale).write(out)


def write_serve(
    folder: Path,
    usecase: UseCase,
    schema: Schema,
    network: keras.Model,
    rows: list[dict[str, Any]],
    probe: list[dict[str, Any]],
) -> None:
    """Write `serve/`; the outputs of the probe are those of the exported network."""
    serve = folder / "serve"
    serve.mkdir(parents=True)
    to_onnx(network, serve / "model.onnx", encode(schema, rows[:1]))
    schema.save(serve / "schema.json")
    write_json(serve / "serving.json", {**usecase.serving.model_dump(), "objectives": usecase.objectives.model_dump()})
    Probe(rows=probe, outputs=[]).write(serve)
    predictor = Predictor(folder, "cpu")
    outputs = predictor.run(predictor.encode(predictor.probe_rows()))
    Probe(rows=probe, outputs=outputs.tolist()).write(serve)


def to_onnx(network: keras.Model, path: Path, features: dict[str, np.ndarray]) -> None:
    """Write the network to `path`; `features` are encoded rows: a model that was never called does not export."""
    network({name: rows[:1] for name, rows in features.items()})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)  # Keras' own, on its import
        network.export(path, format="onnx", verbose=False)


def measure_parity(
    network: keras.Model, predictor: Predictor, rows: list[dict[str, Any]], scale: float
) -> ParityReport:
    """Measure the largest difference between Keras and the predictor, on the rows and on out-of-range variants of them.

    Also measured is the largest difference between a row alone and the same row in a batch. `scale` is the unit of
    differences: 1 for probabilities, the target's standard deviation in a regression.

    Raises:
        BundleError: a difference is above its limit, so the network that would be served is not the evaluated one.
    """
    tried = [*rows, *out_of_range_rows(rows, predictor.schema)]
    feeds = encode(predictor.schema, tried)
    together = predictor.run(feeds)
    alone = np.concatenate([predictor.run(encode(predictor.schema, [row])) for row in tried[:_ALONE]])
    rounding = 2 * np.spacing(np.abs(together)) if predictor.schema.task == "regression" else np.zeros_like(together)
    report = ParityReport(
        rows=len(tried),
        keras=_largest_difference(predict_on_cpu(network, feeds) - together, rounding, scale),
        keras_limit=LIMIT,
        alone=_largest_difference(alone - together[:_ALONE], rounding[:_ALONE], scale),
        alone_limit=LIMIT_ALONE,
    )
    _require_within(report.keras, report.keras_limit, "from Keras' outputs")
    _require_within(report.alone, report.alone_limit, "between a row alone and the same row in a batch")
    return report


def _require_within(difference: float, limit: float, what: str) -> None:
    if not difference <= limit:  # NaN, too
        raise BundleError(
            f"the exported network differs by {difference:.2g} {what}; at most {limit:g} is allowed. "
            "Use layers made of keras.ops only: Normalization, lookups and Discretization do not export."
        )


def out_of_range_rows(rows: list[dict[str, Any]], schema: Schema) -> Iterator[dict[str, Any]]:
    """Yield rows in which one feature is missing, unknown or far out of range, and one row in which all are missing."""
    features = [feature for feature in schema.inputs if feature.kind != "image"]
    for index, feature in enumerate(features):
        for value in _out_of_range_values(feature):
            yield {**rows[index % len(rows)], feature.name: value}
    yield {**rows[0], **{feature.name: None for feature in features}}


def predict_on_cpu(network: keras.Model, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """Return Keras' outputs computed on the CPU: a GPU sums in another order than the predictor."""
    import tensorflow as tf

    with tf.device("/CPU:0"):
        return networks.predict(network, feeds)


def _out_of_range_values(feature: Feature) -> list[Any]:
    return {"category": [None, _UNKNOWN], "boolean": [None]}.get(feature.kind, [None, -_FAR, _FAR])


def _largest_difference(differences: np.ndarray, rounding: np.ndarray, scale: float) -> float:
    """Return the largest difference beyond `rounding`, in units of `scale`.

    Rounding matters for targets with a large mean: around 1e6, float32 numbers are 0.06 apart.
    """
    return float(np.maximum(np.abs(differences) - rounding, 0).max() / scale)
