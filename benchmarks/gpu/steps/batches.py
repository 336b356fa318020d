"""Batches: their size is measured when a model is loaded, on each device; and rows a second with that size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.gpu.check import Check, judge_on_gpu
from benchmarks.gpu.context import Context
from benchmarks.gpu.steps.loading import load_bundle
from benchmarks.serving.measurement import Effort, Figure, in_pairs
from bentos.models import LoadedModel

EFFORT, QUICK = Effort(pairs=7, seconds=0.5), Effort(pairs=1, seconds=0.05)


def check_batches(context: Context) -> Iterator[Check]:
    """Compare the rows a second of the GPU with those of a core, each in batches of the size that is chosen there.

    The built-in models are too small for that: they are served one by one.
    """
    for name in sorted(path.name for path in context.networks.glob("*")):
        yield _compare(name, context)


def _compare(name: str, context: Context) -> Check:
    effort = QUICK if context.quick else EFFORT
    gpu, cpu = (load_bundle(context.networks / name, device) for device in (context.device, "cpu"))
    pairs = in_pairs(lambda: rows_per_second(gpu, effort), lambda: rows_per_second(cpu, effort), effort.pairs)
    ratio = Figure(name, "> 1", None, None, *pairs).value
    detail = f"{ratio:.1f} × a core's rows: {_words(gpu, pairs[0])}; {_words(cpu, pairs[1])}"
    holds = gpu.batching.size > 1 and ratio > 1
    return judge_on_gpu(context.device, f"batches of `{name}` beat the CPU's", holds, detail)


def rows_per_second(model: LoadedModel, effort: Effort) -> float:
    """Run the network again and again on a batch of the chosen size."""
    feeds = model.predictor.encode(model.probe_rows)
    batch = {name: np.take(values, range(model.batching.size), axis=0, mode="wrap") for name, values in feeds.items()}
    model.predictor.run(batch)
    runs, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < effort.seconds:
        model.predictor.run(batch)
        runs += 1
    return runs * model.batching.size / seconds


def _words(model: LoadedModel, rates: list[float]) -> str:
    rows = f"{statistics.median(rates):,.0f}/s on the {model.device.upper()}"
    size, gain = model.batching.size, model.batching.gain
    return f"{rows} in batches of {size}, which gain {gain}" if size > 1 else f"{rows}, row by row"
