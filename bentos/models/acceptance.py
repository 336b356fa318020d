"""Check: what a loaded bundle must show before it takes over from the one that serves."""

from __future__ import annotations

import itertools
import statistics
import time

import numpy as np

from bentos.models.loaded_model import LoadedModel
from slipway.contracts.bundle.manifest import PROBE_TOLERANCE
from slipway.contracts.schema import compatible
from slipway.errors import BundleError, SettingsError
from slipway.settings import Settings

_LEAST_PAIRS, _MOST_PAIRS = 15, 200
_MOST_SECONDS = 2.0


def check(new: LoadedModel, serving: LoadedModel | None, settings: Settings) -> None:
    """What must be in order before `new` takes over.

    Raises:
        BundleError: it does not answer as its probe says, or cannot stand in for `serving`.
        SettingsError: this container cannot mask what it masks.
    """
    _check_mask(new, settings)
    _check_probe(new)
    if serving is None:
        return
    if reasons := compatible(serving.schema, new.schema):
        raise BundleError(
            f"requests that version {serving.version} answers would be refused: {'; '.join(reasons)}. "
            "Make added features nullable and list removed ones as retired."
        )
    ratio = slowdown(new, serving)
    allowed = float(new.serving.get("swap_ratio", 3.0))
    if ratio > allowed:
        raise BundleError(
            f"it takes {ratio:.1f} times as long as version {serving.version}, {allowed:g} times is allowed: "
            "make the network smaller, or raise serving.swap_ratio in usecase.yaml."
        )


def _check_mask(new: LoadedModel, settings: Settings) -> None:
    """A secret made here would give every value another token than training's: to monitoring all would be new."""
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
        raise BundleError(f"its probe rows give outputs of shape {outputs.shape}, its probe says {expected.shape}.")
    if not np.isfinite(outputs).all():
        raise BundleError("it answers its probe rows with NaN or infinity.")
    if not np.allclose(outputs, expected, rtol=PROBE_TOLERANCE, atol=PROBE_TOLERANCE):
        worst = float(np.abs(outputs - expected).max())
        raise BundleError(f"its probe rows come out up to {worst:.2g} off what its probe says: it is not that network.")


def slowdown(new: LoadedModel, serving: LoadedModel) -> float:
    """How many times as long `new` takes for one row: the ratio of median times on each one's probe rows.

    Runs alternate, so that whatever else the machine does falls on both.
    """
    feeds = [[model.predictor.encode([row]) for row in model.probe_rows] for model in (new, serving)]
    seconds: tuple[list[float], list[float]] = ([], [])
    deadline = time.perf_counter() + _MOST_SECONDS
    pairs = zip(itertools.cycle(feeds[0]), itertools.cycle(feeds[1]), strict=False)
    for count, (mine, theirs) in enumerate(pairs):
        if count >= _MOST_PAIRS or (count >= _LEAST_PAIRS and time.perf_counter() > deadline):
            break
        seconds[0].append(_seconds(new, mine))
        seconds[1].append(_seconds(serving, theirs))
    return statistics.median(seconds[0]) / statistics.median(seconds[1])


def _seconds(model: LoadedModel, feeds: dict[str, np.ndarray]) -> float:
    started = time.perf_counter()
    model.predictor.run(feeds)
    return time.perf_counter() - started
