"""Acceptance checks: what a loaded bundle must pass before it replaces the model that serves."""

from __future__ import annotations

import itertools
import statistics
import time

import numpy as np

from bentos.models.loaded_model import LoadedModel
from slipway.contracts.bundle.manifest import PROBE_TOLERANCE
from slipway.contracts.schema.compatibility import require_compatible
from slipway.errors import BundleError, SettingsError
from slipway.settings import Settings

_MIN_PAIRS, _MAX_PAIRS = 15, 200
_MAX_SECONDS = 2.0


def check_acceptance(new: LoadedModel, serving: LoadedModel | None, settings: Settings) -> None:
    """Check that `new` may serve: mask key, probe, and, in place of `serving`, schema compatibility and latency.

    Raises:
        BundleError: the network does not reproduce its probe, or cannot replace `serving`.
        SettingsError: this container has no key to mask private values with.
    """
    _check_mask_key(new, settings)
    _check_probe(new)
    if serving is not None:
        require_compatible(serving.version, serving.schema, new.schema)
        _check_latency(new, serving)


def _check_mask_key(new: LoadedModel, settings: Settings) -> None:
    """Refuse a generated key: it would give every value another token than training's, so all would be new ones."""
    masked = [feature.name for feature in new.schema.features if feature.private == "token"]
    if masked and settings.container and settings.mask_key is None:
        raise SettingsError(
            f"it masks {', '.join(masked)}, and SLIPWAY_MASK_KEY is not set in this container: set it to the secret "
            "that it was trained with."
        )


def _check_probe(new: LoadedModel) -> None:
    outputs = new.predictor.run(new.predictor.encode(new.probe_rows))
    expected = np.asarray(new.predictor.probe["outputs"], np.float32)
    if outputs.shape != expected.shape:
        raise BundleError(
            f"its outputs for the probe rows have the shape {outputs.shape}; its probe holds {expected.shape}."
        )
    if not np.isfinite(outputs).all():
        raise BundleError("its outputs for the probe rows hold NaN or infinity.")
    if not np.allclose(outputs, expected, rtol=PROBE_TOLERANCE, atol=PROBE_TOLERANCE):
        worst = float(np.abs(outputs - expected).max())
        raise BundleError(
            f"its outputs for the probe rows differ by up to {worst:.2g} from those in its probe: it is not that "
            "network."
        )


def _check_latency(new: LoadedModel, serving: LoadedModel) -> None:
    ratio = slowdown(new, serving)
    allowed = float(new.serving.get("swap_ratio", 3.0))
    if ratio > allowed:
        raise BundleError(
            f"it takes {ratio:.1f} times as long as version {serving.version}, {allowed:g} times is allowed: "
            "make the network smaller, or raise serving.swap_ratio in usecase.yaml."
        )


def slowdown(new: LoadedModel, serving: LoadedModel) -> float:
    """Return the ratio of median seconds for one row, `new` to `serving`, each on its own probe rows.

    Runs alternate, so that the machine's other load affects both alike.
    """
    feeds = [[model.predictor.encode([row]) for row in model.probe_rows] for model in (new, serving)]
    seconds: tuple[list[float], list[float]] = ([], [])
    deadline = time.perf_counter() + _MAX_SECONDS
    pairs = zip(itertools.cycle(feeds[0]), itertools.cycle(feeds[1]), strict=False)
    for count, (new_feeds, serving_feeds) in enumerate(pairs):
        if count >= _MAX_PAIRS or (count >= _MIN_PAIRS and time.perf_counter() > deadline):
            break
        seconds[0].append(_run_seconds(new, new_feeds))
        seconds[1].append(_run_seconds(serving, serving_feeds))
    return statistics.median(seconds[0]) / statistics.median(seconds[1])


def _run_seconds(model: LoadedModel, feeds: dict[str, np.ndarray]) -> float:
    started = time.perf_counter()
    model.predictor.run(feeds)
    return time.perf_counter() - started
