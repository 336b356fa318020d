"""Generated log of predictions of 20 features, with the use case and the bundle that a monitor compares it with.

The files are those of compaction. Four segments are drawn; the others have the same rows under other ids.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.contracts.bundle.manifest import MANIFEST
from slipway.contracts.columns import PREDICTION, SIDE
from slipway.contracts.events.prediction_event import PREDICTION_COLUMNS
from slipway.contracts.schema import CONTRACT, Feature, Schema
from slipway.prediction_log import Compactor, connect
from slipway.prediction_log.jsonl import literal
from slipway.prediction_log.layout import partitions
from slipway.settings import Settings
from slipway.timestamps import for_name

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAME = "benchmark"
NOWHERE = "http://127.0.0.1:9"
"""Address at which no registry responds."""
CLASSES = ("good", "bad")
FILE_ROWS = 250_000
REFERENCE_ROWS = 10_000
MANIFEST_TEXT = "{}"
DIGEST = hashlib.sha256(MANIFEST_TEXT.encode()).hexdigest()
_DRAWN, _ROW_GROUP = 4, 50_000
_NORMAL = "sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())"
_DRAWS: dict[str, tuple[str, str]] = {
    **{f"number_{i}": ("number", f"round({_NORMAL}, 4)") for i in range(10)},
    "number_with_gaps": ("number", f"CASE WHEN random() > 0.05 THEN round({_NORMAL}, 4) END"),
    "amount": ("number", f"round(exp({_NORMAL}), 4)"),
    "visits": ("integer", "floor(-3 * ln(1 - random()))::BIGINT"),
    "age": ("integer", "18 + floor(60 * random())::BIGINT"),
    **{f"category_of_{k}": ("category", f"'value ' || floor({k} * random() * random())::INT") for k in (4, 8, 50, 200)},
    "member": ("boolean", "random() < 0.3"),
    "rare": ("boolean", "random() < 0.002"),
}
SCHEMA = Schema(
    contract=CONTRACT,
    usecase=NAME,
    task="binary",
    features=tuple(Feature(name, kind, nullable="gaps" in name) for name, (kind, _) in _DRAWS.items()),
    target="risk",
    classes=CLASSES,
    positive="bad",
    threshold=0.5,
)
_ROWS = f"""SELECT *, CASE WHEN score < 0.5 THEN 'good' ELSE 'bad' END AS label
    FROM (SELECT {", ".join(f"{draw} AS {name}" for name, (_, draw) in _DRAWS.items())}, random() AS score
        FROM range({{rows}}))"""
_VALUES = {
    "@timestamp": "moment",
    # the id is as `slipway.ids.uuid7` makes it: milliseconds, then chance
    "event.id": "id || '-0:champion:1'",
    "event.outcome": "'success'",
    "event.duration": "3000000",
    "trace.id": "md5(id)",
    "http.request.id": "id",
    "service.name": "'slipway'",
    "slipway.contract": "1",
    "slipway.usecase": f"'{NAME}'",
    "slipway.model_version": "'1'",
    "slipway.bundle_sha256": "{digest}",
    "slipway.role": "'champion'",
    "slipway.answered": "true",
    "slipway.row_id": "id || '-0'",
    "slipway.features": "features",
    "slipway.label": "label",
    "slipway.score": "score",
    "slipway.cached": "false",
}
_COLUMNS = ", ".join(f'({_VALUES.get(name, "NULL")})::{kind} AS "{name}"' for name, kind in PREDICTION_COLUMNS.items())
_EVENTS = f"""SELECT {_COLUMNS}
    FROM (SELECT *, ms[:8] || '-' || ms[9:] || '-7' || substr(uuid()::VARCHAR, 16) AS id
        FROM (SELECT *, printf('%012x', epoch_ms(moment)) AS ms
            FROM (SELECT *, {{start}}::TIMESTAMPTZ + to_microseconds(file_row_number * {{micros}}) AS moment
                FROM read_parquet({{drawn}}, file_row_number = true))))"""


def environment(home: Path, registry: str = NOWHERE) -> dict[str, str]:
    """Make the settings of a process that reads the log."""
    return {
        "SLIPWAY_VAR": str(home / "var"),
        "SLIPWAY_USECASES": str(home / "usecases"),
        "MLFLOW_TRACKING_URI": registry,
    }


def write(home: Path, file_rows: int = FILE_ROWS) -> None:
    """Write use case and bundle into the folder, and draw the rows of a log."""
    connection = connect(Settings(var=home / "var"))
    _write_usecase(home / "usecases" / NAME)
    _write_bundle(connection, home / "bundle")
    for path in _drawn(home):
        _copy(connection, _packed(file_rows), path)


def add_day(home: Path, days_ago: int, files: int, file_rows: int = FILE_ROWS) -> None:
    """Add a complete day to the log, written by so many segments, and compacted."""
    settings = Settings(var=home / "var")
    connection, drawn, now = connect(settings), _drawn(home), datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
    span = timedelta(days=1) / files
    micros = span // timedelta(microseconds=1) // file_rows
    for number in range(files):
        start = midnight + number * span
        values = {"digest": literal(DIGEST), "start": literal(start.isoformat()), "micros": micros}
        events = _EVENTS.format(drawn=literal(drawn[number % len(drawn)]), **values)
        name = f"{start:%Y-%m-%d}/prediction-{for_name(start)}-1-{number:08x}.parquet"
        _copy(connection, events, log_folder(home) / name)
    compactor = Compactor(settings)
    for hours in (0, 2):  # the second pass removes what the first one has combined
        compactor.compact(NAME, "prediction", now + timedelta(days=1, hours=hours))


def log_folder(home: Path) -> Path:
    """Folder of the log's dates."""
    settings = Settings(var=home / "var")
    return Path(settings.log_root) / partitions(settings, "prediction", NAME)


def _drawn(home: Path) -> list[Path]:
    return [home / f"drawn-{number}.parquet" for number in range(_DRAWN)]


def _packed(rows: int) -> str:
    """The features of a row as one JSON text, as events have them."""
    pairs = ", ".join(f"'{name}', {name}" for name in _DRAWS)
    return f"SELECT json_object({pairs}) AS features, label, score FROM ({_ROWS.format(rows=rows)})"


def _write_bundle(connection: DuckDBPyConnection, folder: Path) -> None:
    """Write what a monitor reads of a bundle."""
    (folder / "serve").mkdir(parents=True)
    (folder / "monitor").mkdir()
    SCHEMA.save(folder / "serve" / "schema.json")
    (folder / "monitor" / "thresholds.json").write_text('{"significance": 0.05}')
    names = ", ".join(_DRAWS)
    predicted = f"""label AS "{PREDICTION}label", score AS "{PREDICTION}score", label AS "{PREDICTION}label_true" """
    reference = f"""SELECT {names}, {predicted}, 'holdout' AS "{SIDE}" FROM ({_ROWS.format(rows=REFERENCE_ROWS)})"""
    _copy(connection, reference, folder / "monitor" / "reference.parquet")
    (folder / MANIFEST).write_text(MANIFEST_TEXT)


def _write_usecase(folder: Path) -> None:
    features = [{"name": one.name, "kind": one.kind, "nullable": one.nullable} for one in SCHEMA.features]
    content = {
        "name": NAME,
        "owner": "benchmarks",
        "task": SCHEMA.task,
        "source": {"generator": "data:load"},
        "features": features,
        "target": {"name": SCHEMA.target, "classes": list(CLASSES), "positive": SCHEMA.positive},
        "monitoring": {"window_hours": 72},
    }
    folder.mkdir(parents=True)
    (folder / "usecase.yaml").write_text(json.dumps(content))  # which is YAML, too


def _copy(connection: DuckDBPyConnection, query: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP}"
    connection.execute(f"COPY ({query}) TO {literal(path)} ({options})")
