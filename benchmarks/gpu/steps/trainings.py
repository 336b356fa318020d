"""Trainings of the built-in use cases, on the GPU by MirroredStrategy and on the CPU, and their scores side by side."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.gpu.check import NOT_RUN, Check, judge_on_gpu
from benchmarks.gpu.context import Context
from slipway.contracts.bundle import manifest
from slipway.serving_state.desired import StoredVersion
from slipway.system.files import read_struct, write_json

ONE_EPOCH = {"epochs": "1"}
_OVERRIDE = "the GPU benchmark: what is compared are outputs, and nobody is served"


class Trained(msgspec.Struct, frozen=True):
    """Result of a training: the score that its gates compare, and what it ran on."""

    metric: str
    score: float
    margin: float
    device: str
    strategy: str
    replicas: int
    seconds: float


def train(context: Context) -> Iterator[Check]:
    """Train every use case on what TensorFlow finds: the GPUs, or in a dry run the CPU."""
    for name in _usecases():
        _train(name, context, "gpu")
    yield from ()


def train_on_cpu(context: Context) -> Iterator[Check]:
    """Train every use case without a GPU, and keep the bundles for the steps that serve them."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # before TensorFlow is imported
    for name in _usecases():
        _keep(_train(name, context, "cpu"), context.trained / name)
    yield from ()


def compare_scores(context: Context) -> Iterator[Check]:
    """Compare the scores on the holdout: the GPU's may differ from the CPU's by the margin of the use case's gates.

    It sums in another order, so that the weights differ in the end, although seed and data are the same.
    """
    for name in _usecases():
        title = f"training of `{name}` on MirroredStrategy"
        gpu, cpu = (read_struct(context.scores(kind, name), Trained) for kind in ("gpu", "cpu"))
        if gpu is None or cpu is None:
            yield Check(title, NOT_RUN, f"its training on the {'CPU' if gpu else 'GPU'} has no result")
            continue
        near = abs(gpu.score - cpu.score) <= gpu.margin
        detail = f"{gpu.metric} {_words(gpu)}, {_words(cpu)}; they may differ by {gpu.margin:g}"
        yield judge_on_gpu(context.device, title, near and gpu.strategy == "MirroredStrategy", detail)


def _words(trained: Trained) -> str:
    copies = f"{trained.replicas} × {trained.device}" if trained.strategy != "none" else f"the {trained.device}"
    return f"{trained.score:.4f} on {copies} in {trained.seconds:.0f} s"


def _usecases() -> list[str]:
    from slipway.config import names

    return names()


def _train(name: str, context: Context, kind: str) -> Path:
    """Train as `slipway train NAME --no-register` does; returns the folder of the bundle."""
    from pipelines.artifacts import GatedReport, TrainingReport
    from pipelines.runs.run import open_run
    from pipelines.training import training
    from slipway.config import load

    changes = ONE_EPOCH if context.quick else {}
    usecase = load(name, changes)
    with open_run(usecase, changes, register=False, fresh=False) as run:
        training(usecase, run, run.step)
    report, trained = GatedReport.read(run.paths.gate), TrainingReport.read(run.paths.train)
    score = report.scores[report.metric].value
    assert score is not None
    path = context.scores(kind, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    margin, devices = float(usecase.gates.margin), ", ".join(dict.fromkeys(trained.devices))
    write_json(
        path, Trained(report.metric, score, margin, devices, trained.strategy, trained.replicas, trained.seconds)
    )
    return run.paths.bundle / "bundle"


def _keep(bundle: Path, into: Path) -> None:
    """Copy the bundle as a follower stores it, with an override: after one epoch its gates fail."""
    shutil.copytree(bundle, into)
    digest = hashlib.sha256((into / manifest.MANIFEST).read_bytes()).hexdigest()
    write_json(into / "version.json", StoredVersion(into.name, "1", digest, None, _OVERRIDE))
