"""Train the network; determine its temperature and its decision threshold."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from pipelines.artifacts import History, LogLoss, TrainingReport, write_history
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


def train(usecase: UseCase, split: Path, out: Path) -> None:
    """Write `model.keras`, the final `schema.json`, `history.json` and `training.json` into `out`.

    Raises:
        UseCaseError: a parameter, or the network of `model.py`, is not valid.
        DataError: the loss became infinite.
    """
    schema = Schema.load(split / "schema.json")
    rows = encode_rows(read_side(split, "train", schema), schema)
    validation = encode_rows(read_side(split, "validation", schema), schema)
    params = resolve(usecase).sized(len(rows))
    place, started = placement(), time.monotonic()
    make_reproducible(usecase.seed)
    say(f"train: {len(rows)} rows on {', '.join(place.devices)}{_with_strategy(place)}")
    inputs = Inputs(schema, rows.features, rows.target)
    network, history = fit(usecase, inputs, validation, params, place, rows.weight)
    network.save(out / "model.keras")
    threshold = calibration.threshold(usecase.target.cost) if schema.positive else None
    msgspec.structs.replace(schema, threshold=threshold).save(out / "schema.json")
    write_history(out, history)
    temperature, log_loss = _calibrate(network, validation, schema)
    TrainingReport(
        device=place.device,
        devices=place.devices,
        strategy=place.strategy,
        replicas=place.replicas,
        seconds=round(time.monotonic() - started, 2),
        epochs=len(history["loss"]),
        best_epoch=int(np.argmin(history["val_error"])) + 1,
        seed=usecase.seed,
        rows={"train": len(rows), "validation": len(validation)},
        network="model.py" if usecase.function("model", "build") else "default",
        weights=int(network.count_params()),
        params=params.record(),
        threshold=threshold,
        target_scale=_scale(rows.target) if schema.task == "regression" else 1.0,
        temperature=temperature,
        validation_log_loss=log_loss,
    ).write(out)


def fit(
    usecase: UseCase,
    inputs: Inputs,
    validation: EncodedRows,
    params: Params,
    place: Placement,
    weight: np.ndarray | None = None,
) -> tuple[keras.Model, History]:
    """Fit the network; return it with the weights of its best epoch, and each epoch's losses and errors.

    `weight` [n] are the sample weights of the inputs; None if all are equal.
    """
    from pipelines.modeling.networks.losses import truth

    fitting, classes = params.fitting, len(inputs.schema.classes)
    with place.scope():
        network = networks.build(usecase, inputs, params.for_network())
        fitted = networks.trainable(network)
        _compile(fitted, fitting, None if classes else _scale(inputs.target))
    members = len(fitted.output.shape) == 3
    fit_history = fitted.fit(
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
    history = {name: [float(value) for value in values] for name, values in fit_history.history.items()}
    if not np.isfinite(history["loss"] + history.get("val_error", [np.nan])).all():
        raise DataError(f"the loss became infinite in epoch {len(history['loss'])}: set a smaller learning_rate.")
    return network, history


def _compile(fitted: keras.Model, fitting: Fitting, scale: float | None) -> None:
    """Compile the model; `scale` is the target's standard deviation in a regression, None for classes."""
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


def _calibrate(
    network: keras.Model, validation: EncodedRows, schema: Schema
) -> tuple[float | None, LogLoss | UnsetType]:
    """Return the temperature, and the validation log loss before and after it; a regression has neither."""
    if schema.task == "regression":
        return None, UNSET
    before = networks.predict(network, validation.features)
    weight = validation.weight
    temperature = calibration.temperature(before, validation.target, weight)
    after = calibration.soften(before, temperature)
    return temperature, LogLoss(
        uncalibrated=calibration.log_loss(before, validation.target, weight),
        calibrated=calibration.log_loss(after, validation.target, weight),
    )


def _scale(target: np.ndarray) -> float:
    return float(target.std()) or 1.0


def _with_strategy(place: Placement) -> str:
    return f" with {place.strategy}" if place.distribution else ""
