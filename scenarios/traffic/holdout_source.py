"""The champion's holdout, fetched from its run, and which of its rows this machine has sent already.

Rows are drawn in one shuffled order, from where the last run ended (`var/traffic/USECASE/sent.json`), so no row is sent
twice before all were. Rows that a run drew count as sent, also when it is interrupted.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.registry_names import CHAMPION
from slipway.contracts.schema import Schema
from slipway.errors import DataError, NotFound
from slipway.settings import settings
from slipway.system.files import file_sha256


@dataclass(frozen=True)
class Holdout:
    """All rows that a version was judged by: feature columns, the target, `row_key` and `split_bucket`."""

    usecase: str
    schema: Schema
    frame: pd.DataFrame
    sha256: str


@dataclass(frozen=True)
class Drawn:
    """The rows of one run, and how many are left for the next."""

    frame: pd.DataFrame
    left: int


def of_champion(usecase: str, registry: Registry | None = None) -> Holdout:
    """The holdout of the version that the alias `champion` names.

    Raises:
        RegistryError: the registry does not answer, there is no champion, or its run holds no holdout.
        DataError: the file is not the one that the run names.
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
    return Holdout(usecase, Schema.load(schema), pd.read_parquet(file), file.stem)


def draw(holdout: Holdout, rows: int | None, seed: int, restart: bool, keep: np.ndarray | None = None) -> Drawn:
    """The next `rows` rows (None: all that are left) of the order that `seed` makes; only those in `keep`, if given.

    Another seed, another holdout or `restart` begins a new order.

    Raises:
        DataError: no row is left.
    """
    order = np.random.default_rng(seed).permutation(len(holdout.frame))
    with _state(holdout.usecase) as file:
        offset = 0 if restart else _offset(file, holdout.sha256, seed)
        if offset >= len(order):
            raise DataError(
                f"all {len(order)} rows of the holdout of {holdout.usecase} were sent, and none is sent twice unasked: "
                "that would be a drift of its own. `--restart` begins again, in the same order."
            )
        rest = order[offset:]
        wanted = np.flatnonzero(keep[rest]) if keep is not None else np.arange(len(rest))
        taken = wanted[:rows]
        end = len(order) if rows is None or len(wanted) <= rows else offset + int(taken[-1]) + 1
        file.seek(0)
        file.truncate()
        json.dump({"holdout_sha256": holdout.sha256, "seed": seed, "offset": end}, file)
    return Drawn(holdout.frame.iloc[rest[taken]].reset_index(drop=True), len(order) - end)


def _fetch(registry: Registry, champion: ModelVersion, folder: Path) -> Path:
    paths = [path for path in registry.artifacts(champion.run_id, "holdout") if path.endswith(".parquet")]
    if len(paths) != 1:
        raise NotFound(
            f"the run of {champion.name} version {champion.version} holds {len(paths)} files in holdout/, one is "
            "needed: was the version registered by `slipway train`? Train it again, and promote what it registers."
        )
    draft = registry.fetch_artifact(champion.run_id, paths[0], folder / "holdout.draft")
    named = Path(paths[0]).stem
    if (found := file_sha256(draft)) != named:
        draft.unlink()
        raise DataError(f"the holdout of {champion.name} is not what its run names: {named} there, {found} came.")
    return draft.replace(folder / f"{named}.parquet")


@contextmanager
def _state(usecase: str) -> Iterator[IO[str]]:
    """`var/traffic/USECASE/sent.json`, locked: two runs at once draw different rows."""
    path = settings().var / "traffic" / usecase / "sent.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file


def _offset(file: IO[str], sha256: str, seed: int) -> int:
    """Where the last run ended, 0 where it drew from another holdout or in another order."""
    try:
        state = json.loads(file.read())
    except ValueError:
        return 0
    return state["offset"] if (state["holdout_sha256"], state["seed"]) == (sha256, seed) else 0
