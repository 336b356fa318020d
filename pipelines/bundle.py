"""The bundle: all that serving and monitoring need of a training, proven to answer as the network that was judged."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines import networks
from pipelines.card import card
from pipelines.encoded import read_side
from pipelines.export import export, parity
from pipelines.files import read_json, sha256, write_json
from pipelines.probe import probe_rows
from pipelines.reference import reference, thresholds
from slipway import __version__, signing
from slipway import bundle as bundles
from slipway.predictor import Predictor, encode, rows_from_frame
from slipway.schema import Schema
from slipway.usecase import UseCase

LIBRARIES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy", "pandas", "scikit-learn")
_COMPARED = 500
_SIDES = ("validation", "holdout")


def bundle(
    usecase: UseCase, facts: dict[str, Any], split: Path, trained: Path, evaluated: Path, gated: Path, out: Path
) -> None:
    """Leave the `bundle/` and `parity.json` in `out`; `facts` say where the data and the code come from.

    Raises:
        BundleError: the exported network does not load, or does not answer as the one in `model.keras`.
    """
    schema, training = Schema.load(trained / "schema.json"), read_json(trained / "training.json")
    folder, frames = out / "bundle", {side: read_side(split, side, schema) for side in _SIDES}
    said = {side: pd.read_parquet(evaluated / f"{side}_predictions.parquet") for side in _SIDES}
    (folder / "monitor").mkdir(parents=True)
    network = networks.calibrated(networks.load(usecase, trained / "model.keras"), training["temperature"])
    rows = rows_from_frame(schema, frames["validation"][:_COMPARED])
    write_serve(folder, usecase, schema, network, rows, probe_rows(schema, frames["validation"]))
    write_json(out / "parity.json", parity(network, Predictor(folder, "cpu"), rows, training["target_scale"]))
    reference(schema, frames, said).to_parquet(folder / "monitor" / "reference.parquet", compression="zstd")
    write_json(folder / "monitor" / "thresholds.json", thresholds(schema, usecase.monitoring))
    shutil.copyfile(gated / "metrics.json", folder / "metrics.json")
    made = {"training": training, "libraries": libraries(), "model_keras_sha256": sha256(trained / "model.keras")}
    known = {**facts, **made, "parity": read_json(out / "parity.json")}
    (folder / "card.md").write_text(card(usecase, schema, read_json(gated / "metrics.json"), known))
    bundles.write(folder, usecase.name, known)
    signing.sign(folder)
    bundles.verify(folder)


def write_serve(
    folder: Path,
    usecase: UseCase,
    schema: Schema,
    network: Any,
    rows: list[dict[str, Any]],
    probe: list[dict[str, Any]],
) -> None:
    """Write `serve/`; the probe's outputs are the exported network's own."""
    serve = folder / "serve"
    serve.mkdir(parents=True)
    export(network, serve / "model.onnx", encode(schema, rows[:1]))
    schema.save(serve / "schema.json")
    write_json(serve / "serving.json", usecase.serving.model_dump())
    write_json(serve / "probe.json", {"rows": probe, "outputs": []})
    predictor = Predictor(folder, "cpu")
    outputs = predictor.run(predictor.encode(predictor.probe_rows()))
    write_json(serve / "probe.json", {"rows": probe, "outputs": outputs.tolist()})


def libraries() -> dict[str, str]:
    """The versions that made the network."""
    own = {"python": platform.python_version(), "slipway": __version__}
    return own | {name: version(name) for name in LIBRARIES}
