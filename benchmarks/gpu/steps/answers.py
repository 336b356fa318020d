"""Outputs on the GPU: each bundle passes the acceptance checks of a swap, whose probe the CPU computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.gpu.check import NOT_RUN, Check, judge
from benchmarks.gpu.context import Context
from benchmarks.gpu.steps.loading import load_bundle
from bentos.models.acceptance import check_acceptance
from slipway.config import names
from slipway.contracts.bundle.manifest import PROBE_TOLERANCE
from slipway.errors import SlipwayError
from slipway.settings import settings


def check_answers(context: Context) -> Iterator[Check]:
    """Check each built-in model, whose bundle the training on the CPU left, and the benchmark's networks."""
    bundles = dict.fromkeys(names()) | context.bundles()
    for name, bundle in bundles.items():
        title = f"`{name}` gives the CPU's outputs"
        yield _check(title, bundle, context.device) if bundle else Check(title, NOT_RUN, "it has no bundle")


def _check(title: str, bundle: Path, device: str) -> Check:
    try:
        model = load_bundle(bundle, device)
        check_acceptance(model, None, settings())
    except SlipwayError as error:
        return judge(title, False, str(error))
    outputs = model.predictor.run(model.predictor.encode(model.probe_rows))
    largest = float(np.abs(outputs - np.asarray(model.predictor.probe["outputs"], np.float32)).max())
    found = f"on the {model.device.upper()}, {len(outputs)} rows differ by {largest:.1g} at most"
    return judge(title, True, f"{found}; a swap allows {PROBE_TOLERANCE:g}")
