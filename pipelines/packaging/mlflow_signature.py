"""Inputs and outputs of a version for MLflow's pages: the files `MLmodel` and `input_example.json`.

The manifest does not cover them, and the server does not read them: `serve/schema.json` is the contract.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.artifacts import Probe
from slipway.contracts.schema import Feature, Schema

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_EXAMPLES = 2
_TYPES = {"number": "double", "integer": "long", "category": "string", "boolean": "boolean", "image": "string"}


def write_mlmodel(schema: Schema, probe: Probe, run_id: str, folder: Path) -> None:
    """Write `MLmodel` and `input_example.json` (a request body) into the folder that becomes the version's source."""
    import onnx
    from mlflow.models import Model

    example = {"artifact_path": "input_example.json", "type": "json_object"}
    flavor = {"onnx_version": onnx.__version__, "data": "serve/model.onnx"}
    model = Model(run_id=run_id, flavors={"onnx": flavor}, saved_input_example_info=example)
    model.signature = signature(schema)
    model.save(str(folder / "MLmodel"))
    instances = {"instances": probe.rows[:_EXAMPLES]}
    (folder / "input_example.json").write_text(json.dumps(instances, ensure_ascii=False))


def signature(schema: Schema) -> ModelSignature:
    """Return the features of an instance (an image as base64 text), and label and score, or value, of a prediction."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Columns

    inputs = [ColSpec(_TYPES[_request_kind(f)], f.name, required=not f.nullable) for f in schema.features]
    outputs = {"value": "double"} if schema.task == "regression" else {"label": "string", "score": "double"}
    return ModelSignature(Columns(inputs), Columns([ColSpec(kind, name) for name, kind in outputs.items()]))


def _request_kind(feature: Feature) -> str:
    """Return the kind of the feature in requests: a number that is put into bins is still sent as a number."""
    return "number" if feature.bins else feature.kind
