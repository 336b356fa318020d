"""Documents of Elasticsearch joined with their labels, by the one rule that the prediction log has for it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from slipway.prediction_log.jsonl import connect, rows
from slipway.prediction_log.label_join import label_join
from slipway.prediction_log.reader import has_any_labeler
from slipway.prediction_log.reading.retried_relation import RetriedRelation
from slipway.prediction_log.spool_reader import COLUMNS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from slipway.settings import Settings


def labeled_documents(
    answered: Sequence[Mapping[str, Any]], feedback: Sequence[Mapping[str, Any]], usecase: str, config: Settings
) -> DuckDBPyRelation | None:
    """Join answered predictions with feedback, as `Log.labelled` does; None if either is missing.

    The documents are read as the lines that they were in the log, so that both are joined by the same query.
    """
    if not answered or not feedback:
        return None
    connection = connect(config)
    _read(connection, "prediction", answered)
    _read(connection, "feedback", feedback)
    joined = label_join("prediction", "feedback", None, any_labeler=has_any_labeler(usecase))
    query = f'SELECT DISTINCT ON ("event.id") * FROM ({joined})'
    # A relation of DuckDB does not keep its connection open; nothing is left out here, as it is of the log's files
    return cast("DuckDBPyRelation", RetriedRelation(lambda: connection.sql(query), lambda: False))


def _read(connection: DuckDBPyConnection, stream: str, documents: Sequence[Mapping[str, Any]]) -> None:
    """Make the table of a stream's documents, each once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.jsonl"
        path.write_bytes(msgspec.json.Encoder().encode_lines(list(documents)))
        lines = rows([path], COLUMNS[stream])
        connection.execute(f'CREATE TEMP TABLE {stream} AS SELECT DISTINCT ON ("event.id") * FROM ({lines})')
