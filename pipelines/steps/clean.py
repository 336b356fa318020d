"""A snapshot to cleaned rows: those without a target go, then the use case's own `clean.py` drops and corrects."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipelines.artifacts import read_json, write_json
from pipelines.steps.ingest import require_learnable
from slipway.config import UseCase
from slipway.errors import UseCaseError


def clean(usecase: UseCase, ingested: Path, out: Path) -> None:
    """Leave `cleaned.parquet` and `report.json` (what was dropped and changed, and where it came from) in `out`.

    Raises:
        UseCaseError: `clean(frame)` made, removed or renamed columns, or made rows.
        DataError: too little is left.
    """
    snapshot = pd.read_parquet(ingested / "snapshot.parquet")
    labelled = snapshot[snapshot[usecase.target.name].notna()]
    kept = apply_cleaning(usecase, labelled)
    require_learnable(kept, usecase, "what cleaning left")
    kept.reset_index(drop=True).to_parquet(out / "cleaned.parquet", index=False, compression="zstd")
    write_json(
        out / "report.json",
        {
            "rows": len(snapshot),
            "without_target": len(snapshot) - len(labelled),
            "dropped": len(labelled) - len(kept),
            "kept": len(kept),
            "changed": _changed(labelled, kept),
            "source": read_json(ingested / "source.json"),
        },
    )


def apply_cleaning(usecase: UseCase, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that the use case's `clean.py` keeps, as it corrects them, under their old index."""
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
            "a derived feature is a layer in model.py, so that callers need not compute it."
        )
    if not kept.index.isin(frame.index).all() or kept.index.has_duplicates:
        raise UseCaseError(f"{where}: clean(frame) made rows or reset the index; it may drop and correct rows only.")
    return kept[frame.columns]


def _changed(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, int]:
    """Column → number of kept rows whose value changed."""
    kept = before.loc[after.index]
    same = (kept == after) | (kept.isna() & after.isna())
    counts = (~same).sum()
    return {str(name): int(count) for name, count in counts.items() if count}
