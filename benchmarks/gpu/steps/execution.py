"""Execution: which of ONNX Runtime's providers runs each node of a network, by the profile of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import onnxruntime

from benchmarks.gpu.check import Check, judge_on_gpu
from benchmarks.gpu.context import Context
from slipway.inference import Predictor

CUDA = "CUDAExecutionProvider"
# What networks spend their time on. ONNX Runtime leaves nodes on the CPU that compute shapes and the like, on purpose.
COSTLY = {"Conv", "Einsum", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "MatMul", "NhwcConv"}


class Node(NamedTuple):
    """A node that was run: its operator and its provider."""

    operator: str
    provider: str


def check_execution(context: Context) -> Iterator[Check]:
    """Run each bundle's network on its probe, and see what ran where."""
    for name, bundle in context.bundles().items():
        nodes = executed_nodes(Predictor(bundle, context.device), bundle / "serve" / "model.onnx", context.folder)
        costly = {node.provider for node in nodes if node.operator in COSTLY}
        elsewhere = sorted({node.operator for node in nodes if node.provider != CUDA})
        detail = f"{sum(node.provider == CUDA for node in nodes)} of {len(nodes)} nodes ran on CUDA"
        detail += f"; elsewhere {', '.join(elsewhere)}" if elsewhere else ""
        yield judge_on_gpu(context.device, f"`{name}` runs on CUDA", costly == {CUDA}, detail)


def executed_nodes(predictor: Predictor, network: Path, folder: Path) -> list[Node]:
    """Profile a run of a session that is made as the predictor's own was."""
    session = predictor.session
    options = session.get_session_options()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    providers, given = session.get_providers(), session.get_provider_options()
    profiled = onnxruntime.InferenceSession(
        str(network), options, providers=providers, provider_options=[given[name] for name in providers]
    )
    profiled.run(None, predictor.encode(predictor.probe_rows()))
    events = json.loads(Path(profiled.end_profiling()).read_text())
    kernels = [event["args"] for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    return [Node(kernel["op_name"], kernel["provider"]) for kernel in kernels]
