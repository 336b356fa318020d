"""Rows of the champion's holdout, fetched from its run, and which of them this machine has sent already.

Rows are drawn in one shuffled order, from where the last run ended (`var/traffic/USECASE/sent.json`), so no row is sent
twice before all were. Rows that a run drew count as sent, also when it is interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from pipelines.data.dataset import read_holdout
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.registry_names import CHAMPION
from slipway.contracts.schema import Schema
from slipway.errors import DataError, NotFound
from slipway.settings import settings
from slipway.system import locks
from slipway.system.files import file_sha256


@dataclass(frozen=True)
class Holdout:
    """Rows that a version was evaluated on: feature columns, the target, and columns of Slipway."""

    usecase: str
    schema: Schema
    frame: pd.DataFrame
    sha256: str


@dataclass(frozen=True)
class Drawn:
    """Rows of one run, and how many are left for the next."""

    frame: pd.DataFrame
    left: int


def of_champion(usecase: str, registry: Registry | None = None) -> Holdout:
    """Fetch the holdout of the version with the alias `champion`.

    Raises:
        RegistryError: the registry does not respond, there is no champion, or its run has no holdout.
        DataError: the file's digest is not the one in its name.
    """
    registry = registry or Registry()
    champion = registry.aliased(usecase, CHAMPION)
    if champion is None:
        raise NotFound(f"{usecase} has no champion in {registry.uri}: `slipway promote {usecase} VERSION` makes one.")
    folder = settings().var / "traffic" / usecase / champion.run_id
    schema = folder / "schema.json"
    if not schema.exists():
        registry.fetch_artifact(champion.run_id, "bundle/serve/schema.json", schema)
    file = next(folder.glob("*.parquet"), None) or _fetch(registry, champion, folder)
    return Holdout(usecase, Schema.load(schema), read_holdout(file), file.stem)


def draw(holdout: Holdout, rows: int | None, seed: int, restart: bool, keep: np.ndarray | None = None) -> Drawn:
    """Draw the next `rows` rows (None: all that are left) in the order of `seed`; only those in `keep`, if given.

    Another seed, another holdout or `restart` begins a new order.

    Raises:
        DataError: no row is left.
    """
    order = np.random.default_rng(seed).permutation(len(holdout.frame))
    with _state(holdout.usecase) as file:
        offset = 0 if restart else _offset(file, holdout.sha256, seed)
        if offset >= len(order):
            raise DataError(
                f"all {len(order)} rows of the holdout of {holdout.usecase} were sent. None is sent twice, since "
                "repeated rows would look like drift; `--restart` begins again, in the same order."
            )
        rest = order[offset:]
        eligible = np.flatnonzero(keep[rest]) if keep is not None else np.arange(len(rest))
        drawn = eligible[:rows]
        end = len(order) if rows is None or len(eligible) <= rows else offset + int(drawn[-1]) + 1
        file.seek(0)
        file.truncate()
        json.dump({"holdout_sha256": holdout.sha256, "seed": seed, "offset": end}, file)
    return Drawn(holdout.frame.iloc[rest[drawn]].reset_index(drop=True), len(order) - end)


def _fetch(registry: Registry, champion: ModelVersion, folder: Path) -> Path:
    paths = [path for path in registry.artifacts(champion.run_id, "holdout") if path.endswith(".parquet")]
    if len(paths) != 1:
        raise NotFound(
            f"the run of {champion.name} version {champion.version} has {len(paths)} files in holdout/ instead "
            "of one: was the version registered by `slipway train`? Train it again, and promote the new version."
        )
    draft = registry.fetch_artifact(champion.run_id, paths[0], folder / "holdout.draft")
    named = Path(paths[0]).stem
    if (found := file_sha256(draft)) != named:
        draft.unlink()
        raise DataError(
            f"the holdout of {champion.name} does not match its name in the run: expected {named}, got {found}."
        )
    return draft.replace(folder / f"{named}.parquet")


@contextmanager
def _state(usecase: str) -> Iterator[IO[str]]:
    """Open and lock `var/traffic/USECASE/sent.json`, so that two runs at once draw different rows."""
    path = settings().var / "traffic" / usecase / "sent.json"
    with locks.exclusive(path) as file:
        file.seek(0)
        yield file


def _offset(file: IO[str], sha256: str, seed: int) -> int:
    """Read where the last run ended; 0 if it drew from another holdout or in another order."""
    try:
        state = json.loads(file.read())
    except ValueError:
        return 0
    return state["offset"] if (state["holdout_sha256"], state["seed"]) == (sha256, seed) else 0
