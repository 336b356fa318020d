"""Bundles made by an attacker: each tampers with a valid one, whose manifest is then rewritten to match.

Every function returns the expected reason.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from slipway.contracts.bundle import manifest

MODEL = "serve/model.onnx"


def rewrite_manifest(directory: Path) -> str:
    """Write a new manifest of the present files and return the new digest."""
    usecase = json.loads((directory / manifest.MANIFEST).read_bytes())["usecase"]
    (directory / manifest.MANIFEST).unlink()
    return manifest.write(directory, usecase, {})


def _network(change: Callable[[onnx.ModelProto], None]) -> Callable[[Path], None]:
    def tamper(directory: Path) -> None:
        model = onnx.load(directory / MODEL)
        change(model)
        (directory / MODEL).write_bytes(model.SerializeToString())

    return tamper


def _json(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def tamper(directory: Path) -> None:
        path = directory / "serve" / f"{name}.json"
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return tamper


def _bytes(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda directory: (directory / name).write_bytes(content) and None


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../../../../etc/passwd"


def _custom(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.evil"


def _function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("", "Add", ["x", "y"], ["z"], [], []))


def _bomb(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 40]), "size"))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["size"], ["all of the memory"]))


def _shape(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]


def _sparse(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("values", TensorProto.FLOAT, [1], struct.pack("<f", 1.0), raw=True)
    places = helper.make_tensor("places", TensorProto.INT64, [1], struct.pack("<q", 0), raw=True)
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [1 << 40]))


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "external tensor data": (_network(_external), "lies in another file (external data)"),
    "a custom operator": (_network(_custom), "is of the domain 'com.evil'"),
    "a function that shadows an operator": (_network(_function), "it defines functions of its own"),
    "a tensor of all the memory": (_network(_bomb), "ConstantOfShape makes the tensors of a row have more than"),
    "a shape that its bytes do not fill": (_network(_shape), "elements, 268435456 are allowed"),
    "a sparse tensor": (_network(_sparse), "it holds a sparse tensor"),
    "a compressed network": (_bytes(MODEL, gzip.compress(b"\0" * 1_000_000)), "model.onnx is no ONNX file"),
    "an empty network": (_bytes(MODEL, b""), "model.onnx is no ONNX file"),
    "random bytes for a network": (_bytes(MODEL, bytes(range(256)) * 64), "model.onnx is no ONNX file"),
    "another use case's schema": (_json("schema", lambda s: s | {"usecase": "other"}), "is of the use case 'other'"),
    "a class twice": (_json("schema", lambda s: s | {"classes": ["good", "good"]}), "has 2 classes"),
    "a schema that is a list": (_bytes("serve/schema.json", b"[]"), "is not a schema"),
    "deep nesting": (_bytes("serve/probe.json", b'{"rows":' + b"[" * 50_000), "nested more than 32 deep"),
    "a probe without rows": (_json("probe", lambda p: p | {"rows": []}), "probe.json is invalid"),
    "a probe of something else": (_json("probe", lambda p: {"rows": "none"}), "probe.json is invalid"),
    "endless patience": (_json("serving", lambda s: s | {"swap_ratio": 1e300}), "serving.json is invalid"),
    "an objective that nothing can meet": (
        _json("serving", lambda s: s | {"objectives": {"availability": 1.5}}),
        "serving.json is invalid",
    ),
    "a cache of all the memory": (
        _json("serving", lambda s: s | {"cache": 1 << 60}),
        "serving.json is invalid",
    ),
}


def link_a_file(directory: Path) -> None:
    """Replace a file by a link to the same bytes elsewhere, where they can be changed later."""
    path = directory / MODEL
    elsewhere = directory.parent / "elsewhere.onnx"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def link_a_folder(directory: Path) -> None:
    elsewhere = directory.parent / "elsewhere"
    (directory / "serve").rename(elsewhere)
    (directory / "serve").symlink_to(elsewhere)


@_network
def grow(model: onnx.ModelProto) -> None:
    """Have the network make 400 MB of each row, in steps that no size in the file tells."""
    graph = model.graph
    graph.node[-1].output[0] = "small"
    graph.initializer.append(numpy_helper.from_array(np.array([1, 100_000_000], np.int64), "wide"))
    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["small"], ["one"], axes=[1]),
            helper.make_node("Expand", ["one", "wide"], ["many"]),
            helper.make_node("ReduceMin", ["many"], ["again"], axes=[1]),
            helper.make_node("Add", ["small", "again"], ["answer"]),
        ]
    )
