"""Network of the serving benchmarks: 20 numbers, two dense layers, two classes; as a promoted bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from slipway.contracts.bundle import manifest
from slipway.contracts.schema import CONTRACT, Feature, Schema
from slipway.inference import Predictor
from slipway.serving_state import desired
from slipway.serving_state.desired import DesiredState, StoredVersion
from slipway.system import files

USECASE = "benchmark"
FEATURES, UNITS = 20, 64
SLOW_UNITS = 1536  # takes more than ten times as long
CLASSES = ("no", "yes")
SCHEMA = Schema(
    contract=CONTRACT,
    usecase=USECASE,
    task="binary",
    features=tuple(Feature(f"number_{k}", "number", range=(-10.0, 10.0)) for k in range(FEATURES)),
    target="answer",
    classes=CLASSES,
    positive=CLASSES[1],
    threshold=0.5,
    synthetic=True,
)


def rows(count: int) -> list[dict[str, float]]:
    """Make rows as clients send them, with four decimals."""
    values = np.random.default_rng(4).normal(size=(count, FEATURES)).round(4).tolist()
    return [{feature.name: value for feature, value in zip(SCHEMA.features, row, strict=True)} for row in values]


def body(count: int) -> bytes:
    """Build a request of so many rows."""
    return json.dumps({"instances": rows(count)}).encode()


def layers(units: int = UNITS) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw weights and biases of the three layers, small enough that no class is certain."""
    rng, widths = np.random.default_rng(4), (FEATURES, units, units, len(CLASSES))
    return [
        (rng.normal(scale=0.2, size=shape).astype(np.float32), np.zeros(shape[1], np.float32))
        for shape in zip(widths, widths[1:], strict=False)
    ]


def write_onnx(path: Path, units: int = UNITS) -> None:
    """Write the network as ONNX."""
    nodes, constants, last = [], [], "numbers"
    for index, (weights, biases) in enumerate(layers(units)):
        constants += [numpy_helper.from_array(weights, f"w{index}"), numpy_helper.from_array(biases, f"b{index}")]
        nodes.append(helper.make_node("Gemm", [last, f"w{index}", f"b{index}"], [f"dense{index}"]))
        last = f"active{index}"
        nodes.append(helper.make_node("Softmax" if index == 2 else "Relu", [f"dense{index}"], [last]))
    inputs = [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, FEATURES])]
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, [None, len(CLASSES)])]
    graph = helper.make_graph(nodes, USECASE, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


class Network(NamedTuple):
    """Parts of a bundle: `write` writes the network, `rows` makes rows as clients send them."""

    schema: Schema
    write: Callable[[Path], None]
    rows: Callable[[int], Sequence[Mapping[str, Any]]]
    deadline_ms: int = 1000

    def body(self, count: int) -> bytes:
        """Build a request of so many rows."""
        return json.dumps({"instances": self.rows(count)}).encode()


TABULAR = Network(SCHEMA, write_onnx, rows)
SLOW_TABULAR = TABULAR._replace(write=partial(write_onnx, units=SLOW_UNITS))


def promote(var: Path, network: Network = TABULAR, *, names: Sequence[str] = (USECASE,), shadow: bool = False) -> Path:
    """Promote the network for each use case, with a slow one as the shadow of the first if wanted; return its file."""
    champions = {name: _store(var, "1", network, name) for name in names}
    champion, slow = champions[USECASE], _store(var, "2", SLOW_TABULAR) if shadow else None
    for name, digest in champions.items():
        desired.write(var / "serving", name, DesiredState(1, digest, shadow=slow))
    return var / "store" / champion / "serve" / "model.onnx"


def _store(var: Path, version: str, network: Network, name: str = USECASE) -> str:
    """Write the bundle into the store of `var`, and return its digest."""
    draft = var / "draft"
    (draft / "serve").mkdir(parents=True)
    (draft / "monitor").mkdir()
    network.write(draft / "serve" / "model.onnx")
    msgspec.structs.replace(network.schema, usecase=name).save(draft / "serve" / "schema.json")
    serving = {"deadline_ms": network.deadline_ms, "log": "best_effort", "max_instances": 1000, "swap_ratio": 1000}
    _write(draft / "serve" / "serving.json", serving)
    probe = network.rows(20)
    _write(draft / "serve" / "probe.json", {"rows": probe, "outputs": []})
    predictor = Predictor(draft, "cpu")
    outputs = predictor.run(predictor.encode(predictor.probe_rows()))
    _write(draft / "serve" / "probe.json", {"rows": probe, "outputs": outputs.tolist()})
    _write(draft / "metrics.json", {"passed": True, "gates": [], "scores": {}, "slices": []})
    (draft / "monitor" / "reference.parquet").write_bytes(b"")
    _write(draft / "monitor" / "thresholds.json", {"significance": 0.05, "features": {}})
    (draft / "card.md").write_text(f"# {name}\n")
    manifest.write(draft, name, {"git_commit": "0" * 40, "synthetic": True})
    digest = hashlib.sha256((draft / manifest.MANIFEST).read_bytes()).hexdigest()
    stored = var / "store" / digest
    stored.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(stored)
    files.write_json(stored / "version.json", StoredVersion(name, version, digest, "run", None))
    return digest


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))
