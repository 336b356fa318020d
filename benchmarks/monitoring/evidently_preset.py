"""Evidently alone: its drift preset on the rows of a generated log, as a process that prints its seconds as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from benchmarks.monitoring.generated_log import SCHEMA, log_folder
from slipway.prediction_log.jsonl import feature_text, literal

_TYPES = {"number": "DOUBLE", "integer": "DOUBLE"}


def main(home: Path) -> None:
    """Read the window and the reference, which is not measured, and run the preset."""
    os.environ["DO_NOT_TRACK"] = "1"
    import duckdb
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = [f"{feature_text(one.name)}::{_TYPES.get(one.kind, 'VARCHAR')} AS {one.name}" for one in SCHEMA.features]
    predicted = """"slipway.label" AS "prediction.label", "slipway.score" AS "prediction.score" """
    files = literal(log_folder(home) / "*" / "*.parquet")
    window = duckdb.sql(f"SELECT {', '.join(columns)}, {predicted} FROM read_parquet({files})").df()
    reference = pd.read_parquet(home / "bundle" / "monitor" / "reference.parquet")[list(window)]
    reference = reference.astype({one.name: str for one in SCHEMA.features if one.kind == "boolean"})
    numbers = [*(one.name for one in SCHEMA.features if one.kind in _TYPES), "prediction.score"]
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=[name for name in window if name not in numbers]
    )
    started, used = time.perf_counter(), time.process_time()
    now, before = (Dataset.from_pandas(frame, definition) for frame in (window, reference))
    Report([DataDriftPreset()]).run(now, before).dict()
    found = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - used, "rows": len(window)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
