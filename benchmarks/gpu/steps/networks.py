"""Bundles of the serving benchmark's image networks, written where there is the library `onnx`: with training's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from benchmarks.gpu.check import Check
from benchmarks.gpu.context import Context
from benchmarks.serving.targets.image_networks import CONVOLUTIONS, DENSE
from benchmarks.serving.targets.network import promote
from slipway.settings import settings

NETWORKS = {"convolutions": CONVOLUTIONS, "dense_layers": DENSE}


def write_networks(context: Context) -> Iterator[Check]:
    """Write a bundle of each; its probe has the outputs that the CPU computes."""
    for name, network in NETWORKS.items():
        serve = promote(settings().var / name, network).parent
        shutil.copytree(serve.parent, context.networks / name)
    yield from ()
