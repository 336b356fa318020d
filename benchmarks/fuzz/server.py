"""Server under test: a model with every kind of feature, and one of images, on two workers."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from benchmarks.fuzz.images import saved
from benchmarks.fuzz.target import get
from slipway.contracts.bundle import manifest
from slipway.contracts.schema import CONTRACT, Feature, Schema
from slipway.inference import Predictor
from slipway.serving_state import desired
from slipway.serving_state.desired import DesiredState, StoredVersion
from slipway.system import files

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
WORKERS = 2
# Limits that requests can be over without being large, and patience: what is late is not what is looked for.
SETTINGS = {"SLIPWAY_MAX_BODY_BYTES": "1000000", "SLIPWAY_MAX_RECEIVE_SECONDS": "5"}
SERVING = {"deadline_ms": 20_000, "log": "best_effort", "max_instances": 500}
SIZE = 8
TABLE = Schema(
    contract=CONTRACT,
    usecase="table",
    task="binary",
    features=(
        Feature("age", "number", range=(18.0, 100.0)),
        Feature("visits", "integer", range=(0.0, 50.0), nullable=True),
        Feature("job", "category", vocabulary=("clerk", "nurse", "pilot")),
        Feature("member", "boolean", nullable=True),
        Feature("income", "category", vocabulary=("< 1000", "≥ 1000"), bins=(1000.0,), private="bucket"),
        Feature("email", "category", private="token", nullable=True),
    ),
    target="risk",
    classes=("good", "bad"),
    positive="bad",
    threshold=0.5,
    retired=("fax",),
    synthetic=True,
)
PICTURES = Schema(
    contract=CONTRACT,
    usecase="pictures",
    task="multiclass",
    features=(Feature("image", "image", size=(SIZE, SIZE), channels=3),),
    target="shape",
    classes=("circle", "square"),
    synthetic=True,
)


@contextmanager
def served(
    folder: Path, before: Callable[[], None] | None = None
) -> Iterator[tuple[int, Path, subprocess.Popen[bytes]]]:
    """Start a server, provide its port, log and process when it is ready, and stop it after the block.

    Its process calls `before` first, as to limit itself.
    """
    row = {"age": 30, "visits": 3, "job": "nurse", "member": True, "income": "< 1000", "email": "tok_" + "0" * 32}
    png = saved(Image.new("RGB", (SIZE, SIZE), "green"), "PNG")
    _promote(folder / "var", TABLE, [row | {"age": 30 + k} for k in range(10)])
    _promote(folder / "var", PICTURES, [{"image": {"b64": base64.b64encode(png).decode()}}])
    port, log = _free_port(), folder / "log"
    own = {"SLIPWAY_VAR": str(folder / "var"), "SLIPWAY_SERVE": "table,pictures", "SLIPWAY_SERVICE_PORT": str(port)}
    own |= {"SLIPWAY_WORKERS": str(WORKERS), "BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", "bentos.service:slipway"]
    with log.open("wb") as file:
        env = {**os.environ, **SETTINGS, **own}
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT, preexec_fn=before)
    try:
        _wait(port, process, log)
        yield port, log, process
    finally:
        process.terminate()
        process.wait(30)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if get(port, "/readyz")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"the server is not ready:\n{log.read_text()[-3000:]}")


def _promote(var: Path, schema: Schema, rows: list[dict[str, Any]]) -> None:
    """Put a bundle into the store and the desired state."""
    draft = var / "draft"
    (draft / "serve").mkdir(parents=True)
    (draft / "monitor").mkdir()
    _network(draft / "serve" / "model.onnx", schema)
    schema.save(draft / "serve" / "schema.json")
    _write(draft / "serve" / "serving.json", SERVING)
    _write(draft / "serve" / "probe.json", {"rows": rows, "outputs": []})
    predictor = Predictor(draft, "cpu")
    outputs = predictor.run(predictor.encode(predictor.probe_rows()))
    _write(draft / "serve" / "probe.json", {"rows": rows, "outputs": outputs.tolist()})
    _write(draft / "metrics.json", {"passed": True, "gates": [], "scores": {}, "slices": []})
    (draft / "monitor" / "reference.parquet").write_bytes(b"")
    _write(draft / "monitor" / "thresholds.json", {"significance": 0.05, "features": {}})
    (draft / "card.md").write_text(f"# {schema.usecase}\n")
    manifest.write(draft, schema.usecase, {"git_commit": "0" * 40, "synthetic": True})
    digest = hashlib.sha256((draft / manifest.MANIFEST).read_bytes()).hexdigest()
    stored = var / "store" / digest
    stored.parent.mkdir(exist_ok=True)
    draft.rename(stored)
    files.write_json(stored / "version.json", StoredVersion(schema.usecase, "1", digest, "run", None))
    desired.write(var / "serving", schema.usecase, DesiredState(1, digest))


def _network(path: Path, schema: Schema) -> None:
    """Build a linear layer over all inputs of the schema, and a softmax."""
    inputs, nodes, constants, parts = [], [], [numpy_helper.from_array(np.zeros(1, np.float32), "zero")], []
    widths = {"numbers": len(schema.numbers), "codes": len(schema.codes), "images": SIZE * SIZE * 3}
    kinds = {"numbers": TensorProto.FLOAT, "codes": TensorProto.INT64, "images": TensorProto.UINT8}
    present = {"numbers": schema.numbers, "codes": schema.codes, "images": schema.images}
    for name in (name for name, features in present.items() if features):
        shape = [None, SIZE, SIZE, 3] if name == "images" else [None, widths[name]]
        inputs.append(helper.make_tensor_value_info(name, kinds[name], shape))
        weights = np.random.default_rng(4).normal(scale=0.01, size=(widths[name], len(schema.classes)))
        constants.append(numpy_helper.from_array(weights.astype(np.float32), f"{name}_weights"))
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT),
            helper.make_node("IsNaN", [f"{name}_float"], [f"{name}_missing"]),
            helper.make_node("Where", [f"{name}_missing", "zero", f"{name}_float"], [f"{name}_whole"]),
            helper.make_node("Flatten", [f"{name}_whole"], [f"{name}_row"]),
            helper.make_node("MatMul", [f"{name}_row", f"{name}_weights"], [f"{name}_part"]),
        ]
        parts.append(f"{name}_part")
    nodes += [helper.make_node("Sum", parts, ["logits"]), helper.make_node("Softmax", ["logits"], ["answer"])]
    outputs = [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, len(schema.classes)])]
    graph = helper.make_graph(nodes, schema.usecase, inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
