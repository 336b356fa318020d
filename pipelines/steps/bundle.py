"""The bundle: all that serving and monitoring need of a training, the exported network that was judged in it."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.artifacts import read_json, sha256, write_json
from pipelines.data.dataset import read_side
from pipelines.packaging.model_card import render_card
from pipelines.packaging.monitoring_reference import reference_rows, thresholds
from slipway import __version__
from slipway.config import UseCase
from slipway.contracts.bundle import manifest as bundles
from slipway.contracts.bundle import signing
from slipway.contracts.schema import Schema

LIBRARIES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy", "pandas", "scikit-learn")
_SIDES = ("validation", "holdout")


def bundle(
    usecase: UseCase,
    facts: dict[str, Any],
    split: Path,
    trained: Path,
    evaluated: Path,
    exported: Path,
    gated: Path,
    out: Path,
) -> None:
    """Leave the `bundle/` in `out`; `facts` say where the data and the code come from."""
    schema, training = Schema.load(trained / "schema.json"), read_json(trained / "training.json")
    folder, frames = out / "bundle", {side: read_side(split, side, schema) for side in _SIDES}
    said = {side: pd.read_parquet(evaluated / f"{side}_predictions.parquet") for side in _SIDES}
    shutil.copytree(exported / "serve", folder / "serve")
    (folder / "monitor").mkdir()
    reference_rows(schema, frames, said).to_parquet(folder / "monitor" / "reference.parquet", compression="zstd")
    write_json(folder / "monitor" / "thresholds.json", thresholds(schema, usecase.monitoring))
    shutil.copyfile(gated / "metrics.json", folder / "metrics.json")
    made = {"training": training, "libraries": libraries(), "model_keras_sha256": sha256(trained / "model.keras")}
    known = {**facts, **made, "parity": read_json(exported / "parity.json")}
    (folder / "card.md").write_text(render_card(usecase, schema, read_json(gated / "metrics.json"), known))
    bundles.write(folder, usecase.name, known)
    signing.sign(folder)
    bundles.verify(folder)


def libraries() -> dict[str, str]:
    """The versions that made the network."""
    own = {"python": platform.python_version(), "slipway": __version__}
    return own | {name: version(name) for name in LIBRARIES}
