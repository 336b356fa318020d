"""Assemble the bundle: everything that serving and monitoring need of a training."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import msgspec
import pandas as pd

from pipelines.artifacts import BundleFacts, GatedReport, ParityReport, Provenance, TrainingReport, write_json
from pipelines.data.dataset import read_side
from pipelines.packaging.model_card import render_card
from pipelines.packaging.monitoring_reference import reference_rows, thresholds
from slipway import __version__
from slipway.config import UseCase
from slipway.contracts.bundle import manifest as bundles
from slipway.contracts.bundle import signing
from slipway.contracts.schema import Schema
from slipway.system.files import file_sha256

LIBRARIES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy", "pandas", "scikit-learn")
_SIDES = ("validation", "holdout")


def bundle(
    usecase: UseCase,
    provenance: Provenance,
    split: Path,
    trained: Path,
    evaluated: Path,
    exported: Path,
    gated: Path,
    out: Path,
) -> None:
    """Write the signed `bundle/` into `out`."""
    schema, folder = Schema.load(trained / "schema.json"), out / "bundle"
    frames = {side: read_side(split, side, schema) for side in _SIDES}
    predictions = {side: pd.read_parquet(evaluated / f"{side}_predictions.parquet") for side in _SIDES}
    shutil.copytree(exported / "serve", folder / "serve")
    (folder / "monitor").mkdir()
    reference = reference_rows(schema, frames, predictions)
    reference.to_parquet(folder / "monitor" / "reference.parquet", index=False, compression="zstd")
    write_json(folder / "monitor" / "thresholds.json", thresholds(schema, usecase.monitoring))
    shutil.copyfile(gated / "metrics.json", folder / "metrics.json")
    facts = BundleFacts(
        **msgspec.structs.asdict(provenance),
        training=TrainingReport.read(trained),
        libraries=libraries(),
        model_keras_sha256=file_sha256(trained / "model.keras"),
        parity=ParityReport.read(exported),
    )
    (folder / "card.md").write_text(render_card(usecase, schema, GatedReport.read(gated), facts))
    bundles.write(folder, usecase.name, msgspec.to_builtins(facts))
    signing.sign(folder)
    bundles.verify(folder)


def libraries() -> dict[str, str]:
    """Return the versions of Python, Slipway and the libraries that train and export."""
    own = {"python": platform.python_version(), "slipway": __version__}
    return own | {name: version(name) for name in LIBRARIES}
