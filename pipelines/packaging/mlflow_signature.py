"""What MLflow's pages show of a version's inputs and outputs: an `MLmodel` file and an input example beside the bundle.

They are not in the manifest, and nothing that serves reads them: `serve/schema.json` is the contract.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contracts.schema import Feature, Schema

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_EXAMPLES = 2
_TYPES = {"number": "double", "integer": "long", "category": "string", "boolean": "boolean", "image": "string"}


def write_mlmodel(schema: Schema, probe: dict[str, Any], run_id: str, folder: Path) -> None:
    """Write `MLmodel` and `input_example.json` (a request's body) into the folder that becomes the version's source."""
    import onnx
    from mlflow.models import Model

    example = {"artifact_path": "input_example.json", "type": "json_object"}
    flavor = {"onnx_version": onnx.__version__, "data": "serve/model.onnx"}
    model = Model(run_id=run_id, flavors={"onnx": flavor}, saved_input_example_info=example)
    model.signature = signature(schema)
    model.save(str(folder / "MLmodel"))
    instances = {"instances": probe["rows"][:_EXAMPLES]}
    (folder / "input_example.json").write_text(json.dumps(instances, ensure_ascii=False))


def signature(schema: Schema) -> ModelSignature:
    """An instance's features by name, an image as base64 text; the answer's label and score, or value."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Columns

    inputs = [ColSpec(_TYPES[_kind(f)], f.name, required=not f.nullable) for f in schema.features]
    answer = {"value": "double"} if schema.task == "regression" else {"label": "string", "score": "double"}
    return ModelSignature(Columns(inputs), Columns([ColSpec(kind, name) for name, kind in answer.items()]))


def _kind(feature: Feature) -> str:
    """A number that is put into bins still comes as a number."""
    return "number" if feature.bins else feature.kind
