"""The world of the loop: rows that look as ever, and a rule for their labels that turns at one moment.

Features come from the use case's own generator, with fresh seeds, so that there are as many rows as are wanted and none
of them twice. Before the change the label is the generator's; after it, `world.py` of the folder decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.config import UseCase

if TYPE_CHECKING:
    import pandas as pd

WORLD = "world"  # the module of a use case's folder that says how its labels follow another rule


def rows(usecase: UseCase, count: int, seed: int, changed: bool) -> pd.DataFrame:
    """`count` rows with their labels, as callers and labellers see them: words, numbers, true and false."""
    import pandas as pd

    drawn = pd.concat(_drawn(usecase, count, seed), ignore_index=True).head(count)
    if changed:
        relabelled = usecase.function(WORLD, "relabelled")
        assert relabelled
        drawn[usecase.target.name] = relabelled(drawn, seed)
    return drawn


def write(usecase: UseCase, path: Path, count: int, seed: int, changed: bool) -> Path:
    """The same as a Parquet file, for `slipway traffic --from`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows(usecase, count, seed, changed).to_parquet(path)
    return path


def _drawn(usecase: UseCase, count: int, seed: int) -> Iterator[pd.DataFrame]:
    """The generator's batches; seeds far from the training's own."""
    module, name = (usecase.source.generator or "").split(":")
    load, decode = usecase.function(module, name), usecase.function("decode", "decode")
    assert load and decode
    made = 0
    while made < count:
        batch = _typed(decode(load(1000 * seed + made)), usecase)
        made += len(batch)
        yield batch


def _typed(frame: pd.DataFrame, usecase: UseCase) -> pd.DataFrame:
    """The generator's text in the schema's kinds."""
    for feature in usecase.features:
        if feature.kind == "integer":
            frame[feature.name] = frame[feature.name].astype(int)
        elif feature.kind == "boolean":
            frame[feature.name] = frame[feature.name] == "true"
    return frame
