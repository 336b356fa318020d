"""The split's rows to a trained network, its temperature and its decision threshold."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from pipelines.artifacts import write_json
from pipelines.data.dataset import EncodedRows, encode_rows, read_side
from pipelines.modeling import calibration, networks
from pipelines.modeling.devices import Placement, make_reproducible, placement
from pipelines.modeling.hyperparameters import Fitting, Params, resolve
from slipway.config import UseCase
from slipway.console import say
from slipway.contracts.schema import Schema
from slipway.errors import DataError
from slipway.model_api import Inputs

if TYPE_CHECKING:
    import keras

History = dict[str, list[float]]


def train(usecase: UseCase, split: Path, out: Path) -> None:
    """Leave `model.keras`, the final `schema.json`, `history.json` (a list per epoch) and `training.json` in `out`.

    Raises:
        UseCaseError: a parameter, or the network of `model.py`, is not as it must be.
        DataError: the loss became infinite.
    """
    schema = Schema.load(split / "schema.json")
    rows = encode_rows(read_side(split, "train", schema), schema)
    validation = encode_rows(read_side(split, "validation", schema), schema)
    params = resolve(usecase).sized(len(rows))
    place, started = placement(), time.monotonic()
    make_reproducible(usecase.seed)
    say(f"train: {len(rows)} rows on {', '.join(place.devices)}{_with(place)}")
    inputs = Inputs(schema, rows.features, rows.target)
    network, history = fit(usecase, inputs, validation, params, place, rows.weight)
    network.save(out / "model.keras")
    threshold = calibration.threshold(usecase.target.cost) if schema.positive else None
    msgspec.structs.replace(schema, threshold=threshold).save(out / "schema.json")
    write_json(out / "history.json", history)
    facts = {
        "seconds": round(time.monotonic() - started, 2),
        "epochs": len(history["loss"]),
        "best_epoch": int(np.argmin(history["val_error"])) + 1,
        "seed": usecase.seed,
        "rows": {"train": len(rows), "validation": len(validation)},
        "network": "model.py" if usecase.function("model", "build") else "default",
        "weights": network.count_params(),
        "params": params.record(),
        "threshold": threshold,
        "target_scale": _scale(rows.target) if schema.task == "regression" else 1.0,
    }
    write_json(out / "training.json", place.facts() | facts | _calibration(network, validation, schema))


def fit(
    usecase: UseCase,
    inputs: Inputs,
    validation: EncodedRows,
    params: Params,
    place: Placement,
    weight: np.ndarray | None = None,
) -> tuple[keras.Model, History]:
    """The network with the weights of its best epoch, and each epoch's losses and errors.

    `weight` [n] is how much each row of the inputs counts; None where all count the same.
    """
    from pipelines.modeling.networks.losses import truth

    fitting, classes = params.fitting, len(inputs.schema.classes)
    with place.scope():
        network = networks.build(usecase, inputs, params.for_network())
        fitted = networks.trainable(network)
        _compile(fitted, fitting, None if classes else _scale(inputs.target))
    members = len(fitted.output.shape) == 3
    known = fitted.fit(
        inputs.features,
        truth(inputs.target, classes, members),
        sample_weight=weight,
        validation_data=(validation.features, truth(validation.target, classes, members), validation.weight),
        batch_size=fitting.batch_size,
        validation_batch_size=networks.ROWS_AT_ONCE,
        epochs=fitting.epochs,
        verbose=0,
        callbacks=_callbacks(fitting),
    )
    history = {name: [float(value) for value in values] for name, values in known.history.items()}
    if not np.isfinite(history["loss"] + history.get("val_error", [np.nan])).all():
        raise DataError(f"the loss became infinite in epoch {len(history['loss'])}: set a smaller learning_rate.")
    return network, history


def _compile(fitted: keras.Model, fitting: Fitting, scale: float | None) -> None:
    """`scale` is the target's, for a regression; None for classes."""
    import keras

    from pipelines.modeling.networks import losses

    fitted.compile(
        optimizer=keras.optimizers.AdamW(fitting.learning_rate, weight_decay=fitting.weight_decay),
        loss=losses.squared(scale) if scale else losses.cross_entropy,
        weighted_metrics=[losses.error],
        jit_compile=False,  # compiling takes longer than training a small network
    )


def _callbacks(fitting: Fitting) -> list[keras.callbacks.Callback]:
    import keras
    import typer

    stop = keras.callbacks.EarlyStopping("val_error", patience=fitting.patience, mode="min", restore_best_weights=True)
    if not sys.stderr.isatty():
        return [keras.callbacks.TerminateOnNaN(), stop]
    bar = typer.progressbar(length=fitting.epochs, label="train", file=sys.stderr)
    progress = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: bar.__enter__(),
        on_epoch_end=lambda epoch, logs: bar.update(1),
        on_train_end=lambda logs: bar.__exit__(None, None, None),
    )
    return [keras.callbacks.TerminateOnNaN(), stop, progress]


def _calibration(network: keras.Model, validation: EncodedRows, schema: Schema) -> dict[str, Any]:
    """The temperature, with the validation log loss before and after it; nothing to calibrate in a regression."""
    if schema.task == "regression":
        return {"temperature": None}
    before = networks.predict(network, validation.features)
    weight = validation.weight
    found = calibration.temperature(before, validation.target, weight)
    return {
        "temperature": found,
        "validation_log_loss": {
            "uncalibrated": calibration.log_loss(before, validation.target, weight),
            "calibrated": calibration.log_loss(calibration.soften(before, found), validation.target, weight),
        },
    }


def _scale(target: np.ndarray) -> float:
    return float(target.std()) or 1.0


def _with(place: Placement) -> str:
    return f" with {place.strategy}" if place.distribution else ""
