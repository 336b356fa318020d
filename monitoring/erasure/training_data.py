"""What an erasure cannot reach: tables that versions were trained on, in MLflow and in runs of this machine.

A version stands on its snapshot by digest: without a row it would be another one. It is named, so that a person trains
anew and deletes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from monitoring.erasure.subject import Subject, Traces
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.columns import ROW_ID, ROW_KEY, holdout_names
from slipway.errors import NotFound
from slipway.prediction_log.jsonl import connect, literal, literals, quoted
from slipway.settings import Settings

HAS, MAY_HAVE = "has rows of the subject", "may have rows of the subject"
FOLDERS = ("snapshot", "holdout", "production")
_SECONDS = 300.0


@dataclass(frozen=True)
class TrainedOn:
    """A version, its aliases, and what is known of each of its tables that has the subject or may have it."""

    version: str
    aliases: list[str]
    tables: dict[str, str]

    @property
    def is_certain(self) -> bool:
        return HAS in self.tables.values()


class TrainingData:
    """Looks for a subject in tables: each is read once, since versions share them by digest."""

    def __init__(self, config: Settings, subject: Subject, traces: Traces) -> None:
        self._config = config
        self._usecase = subject.usecase
        self._row_keys = traces.row_keys | ({subject.value} if subject.field == "row_key" else set())
        self._rows = traces.rows
        self._known: dict[str, str | None] = {}

    def versions(self) -> list[TrainedOn]:
        """List the versions whose tables have the subject or may have it, the newest first. Raises RegistryError."""
        if not self._config.has_registry:
            return []
        registry = Registry(self._config.registry_uri, _SECONDS)
        try:
            versions, aliases = registry.versions(self._usecase), registry.model(self._usecase).aliases
        except NotFound:
            return []
        found = []
        for version in versions:
            if tables := dict(self._tables(registry, version)):
                names = sorted(alias for alias, number in aliases.items() if number == version.version)
                found.append(TrainedOn(version.version, names, tables))
        return found

    def runs(self) -> list[str]:
        """List the runs on this machine that have the subject; they are caches, and can be removed."""
        tables = (self._config.runs).glob("*/*/*.parquet")
        return sorted({str(path.parents[1]) for path in tables if self._state(path) == HAS})

    def _tables(self, registry: Registry, version: ModelVersion) -> Iterator[tuple[str, str]]:
        for folder in FOLDERS if version.run_id else ():
            with suppress(NotFound):  # its run was deleted for good, with its tables
                for name in registry.artifacts(version.run_id, folder):
                    if name not in self._known:
                        self._known[name] = self._fetched(registry, version, name)
                    if state := self._known[name]:
                        yield name, state

    def _fetched(self, registry: Registry, version: ModelVersion, name: str) -> str | None:
        scratch = self._config.var / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=scratch, prefix="erasure-") as folder:
            return self._state(registry.fetch_artifact(version.run_id, name, Path(folder) / "table.parquet"))

    def _state(self, table: Path) -> str | None:
        """What is known of a table: it has the subject, may have it, or None where it has not."""
        import duckdb

        try:
            with connect(self._config, small=True) as connection:
                query = f"SELECT name FROM parquet_schema({literal(table)}) WHERE num_children IS NULL"
                columns = {name for (name,) in connection.execute(query).fetchall()}
                wanted = self._wanted(columns)
                for column, values in wanted.items():
                    query = f"SELECT count(*) FROM {_read(table)} WHERE {quoted(column)} IN {literals(values)}"
                    if connection.execute(query).fetchall() != [(0,)]:
                        return HAS
        except duckdb.Error:
            return MAY_HAVE
        return None if wanted else MAY_HAVE

    def _wanted(self, columns: Collection[str]) -> dict[str, list[str]]:
        """Columns that identify rows, with the subject's values; empty where the table does not tell."""
        before = {now: name for name, now in holdout_names(columns).items() if name in columns}
        known = {ROW_ID: self._rows, before.get(ROW_KEY, ROW_KEY): self._row_keys}
        return {column: sorted(values) for column, values in known.items() if column in columns and values}


def _read(table: Path) -> str:
    return f"read_parquet({literal(table)}, hive_partitioning = false)"
