"""Clean the snapshot: drop rows without a target, then apply the use case's `clean.py`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipelines.artifacts import CleaningReport, DataSource
from pipelines.steps.ingest import require_learnable
from slipway.config import UseCase
from slipway.errors import UseCaseError


def clean(usecase: UseCase, ingested: Path, out: Path) -> None:
    """Write `cleaned.parquet` and `report.json` (rows dropped and changed, and their source) into `out`.

    Raises:
        UseCaseError: `clean(frame)` made, removed or renamed columns, or made rows.
        DataError: too little is left.
    """
    snapshot = pd.read_parquet(ingested / "snapshot.parquet")
    labelled = snapshot[snapshot[usecase.target.name].notna()]
    kept = apply_cleaning(usecase, labelled)
    require_learnable(kept, usecase, "what cleaning left")
    kept.reset_index(drop=True).to_parquet(out / "cleaned.parquet", index=False, compression="zstd")
    CleaningReport(
        rows=len(snapshot),
        without_target=len(snapshot) - len(labelled),
        dropped=len(labelled) - len(kept),
        kept=len(kept),
        changed=_count_changes(labelled, kept),
        source=DataSource.read(ingested),
    ).write(out)


def apply_cleaning(usecase: UseCase, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the use case's `clean.py` keeps, as it corrects them, under their old index."""
    function = usecase.function("clean", "clean")
    if function is None:
        return frame
    where, kept = f"usecases/{usecase.name}/clean.py", function(frame.copy())
    if not isinstance(kept, pd.DataFrame):
        raise UseCaseError(f"{where}: clean(frame) returned {type(kept).__name__}; return the cleaned DataFrame.")
    if set(kept.columns) != set(frame.columns):
        odd = sorted(set(kept.columns) ^ set(frame.columns))
        raise UseCaseError(
            f"{where}: clean(frame) added or removed the columns {odd}. It may drop and correct rows only: "
            "a derived feature is a layer in model.py, so that clients need not compute it."
        )
    if not kept.index.isin(frame.index).all() or kept.index.has_duplicates:
        raise UseCaseError(f"{where}: clean(frame) made rows or reset the index; it may drop and correct rows only.")
    return kept[frame.columns]


def _count_changes(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, int]:
    """Return the number of kept rows whose value changed, by column."""
    kept = before.loc[after.index]
    equal = (kept == after) | (kept.isna() & after.isna())
    counts = (~equal).sum()
    return {str(name): int(count) for name, count in counts.items() if count}
