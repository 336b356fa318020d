"""Simulated world: rows from the use case's generator, whose labels follow another rule after the concept drift.

Fresh seeds give any number of distinct rows. Before the drift the label is the generator's; after it, the function
`relabelled` of the module `scenarios.closed_loop.USECASE_concept_drift` draws it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.config import UseCase

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Relabelling = Callable[[pd.DataFrame, int], np.ndarray]


def has_concept_drift(usecase: str) -> bool:
    """Tell whether a module here says how the labels of the use case drift."""
    return importlib.util.find_spec(_module(usecase)) is not None


def relabelling(usecase: str) -> Relabelling:
    """Load the function that draws the labels of rows after the drift."""
    return importlib.import_module(_module(usecase)).relabelled


def rows(usecase: UseCase, count: int, seed: int, changed: bool) -> pd.DataFrame:
    """Generate `count` rows with their labels, in the values that clients send: words, numbers, true and false."""
    import pandas as pd

    drawn = pd.concat(_drawn(usecase, count, seed), ignore_index=True).head(count)
    if changed:
        drawn[usecase.target.name] = relabelling(usecase.name)(drawn, seed)
    return drawn


def write(usecase: UseCase, path: Path, count: int, seed: int, changed: bool) -> Path:
    """Write the rows as a Parquet file, for `slipway traffic --from`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows(usecase, count, seed, changed).to_parquet(path)
    return path


def _module(usecase: str) -> str:
    return f"scenarios.closed_loop.{usecase}_concept_drift"


def _drawn(usecase: UseCase, count: int, seed: int) -> Iterator[pd.DataFrame]:
    """Yield batches of the generator, with seeds far from those of the training."""
    module, name = (usecase.source.generator or "").split(":")
    load, decode = usecase.function(module, name), usecase.function("decode", "decode")
    assert load and decode
    made = 0
    while made < count:
        batch = _typed(decode(load(1000 * seed + made)), usecase)
        made += len(batch)
        yield batch


def _typed(frame: pd.DataFrame, usecase: UseCase) -> pd.DataFrame:
    """Convert the generator's text to the kinds of the schema."""
    for feature in usecase.features:
        if feature.kind == "integer":
            frame[feature.name] = frame[feature.name].astype(int)
        elif feature.kind == "boolean":
            frame[feature.name] = frame[feature.name] == "true"
    return frame
