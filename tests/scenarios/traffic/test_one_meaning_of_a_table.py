"""Any table that training accepts means the same, row by row, to `predict FILE`, to `traffic --from` and over HTTP."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.commands import input_rows
from pipelines.data import column_types, schema_completion, sources
from pipelines.steps.ingest import mask_private_values
from scenarios.traffic import file_source, generator
from slipway.config import UseCase, schema_builder
from slipway.contracts.schema import Schema, key_text, mask
from slipway.errors import DataError
from slipway.inference import Encoder, rows_from_frame
from slipway.inference.instance_parser import InstanceParser
from slipway.settings import settings

FEATURES = [
    {"name": "z", "kind": "number"},
    {"name": "x", "kind": "number", "nullable": True},
    {"name": "n", "kind": "integer", "nullable": True, "column": "count of n"},
    {"name": "colour", "kind": "category", "nullable": True},
    {"name": "country", "kind": "category", "nullable": True, "vocabulary": ["DE", "NA", "null", "1"]},
    {"name": "flag", "kind": "boolean", "nullable": True},
    {"name": "mail", "kind": "category", "private": "token"},
    {"name": "age", "kind": "number", "private": "bucket", "bins": [30, 60], "nullable": True},
]
TARGET = {"name": "y", "classes": ["0", "1"], "positive": "1"}
COLUMNS = ["z", "x", "count of n", "colour", "country", "flag", "mail", "age", "y", "other"]
MISSING = ["", "NA", "N/A", "?", "null", "nan", " NaN ", "-", "  "]
CELLS: dict[str, list[str]] = {
    "z": ["0.5", " 7", "-1e3", "3."],
    "x": ["1.5", " -2", ".25 ", "1e-3", "12", *MISSING],
    "n": ["3", " 7", "4.0", "1e2", "9007199254740991", *MISSING],
    "colour": ["red", " red", "blue\t", "\u00a0blue", "two words", "1.0", "x\u2028y", 'the "red"', "a;b,c", *MISSING],
    "country": ["DE", " DE", "NA", "null", "null ", "1", "1.0", "FR", "?", "-", ""],
    "flag": ["true", "No", " YES", "0", "1.0", "FALSE", *MISSING],
    "mail": ["ann@example.org", " ann@example.org", "bob@example.org ", "5", *MISSING],
    "age": ["25", " 30", "61.5", *MISSING],
    "y": ["0", "1", " 1", "1.0", "0.0"],
    "other": ["", "anything", "7"],
}
EXTREME_INTEGERS = ["9007199254740993", "9223372036854775807", "-9223372036854775807", "9223372036854775808", "2.5"]


def drawn(chance: random.Random) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Draw the form of a table, as the use case declares it, and its rows of cells by feature."""
    form = {
        "separator": chance.choice([",", ";", "\t", "|"]),
        "header": chance.random() < 0.7,
        "encoding": chance.choice(["utf-8", "utf-16"]),
    }
    if not form["header"]:
        form["columns"] = COLUMNS
    if form["separator"] == ";" and chance.random() < 0.5:
        form["decimal"] = ","
    rows = [{name: chance.choice(cells) for name, cells in CELLS.items()} for _ in range(chance.randint(1, 30))]
    if chance.random() < 0.3:  # without missing values integers are exact beyond 2^53
        for row in rows:
            row["n"] = chance.choice(["3", *EXTREME_INTEGERS[: chance.randint(1, 5)]])
    return form, rows


def written(path: Path, form: dict[str, Any], rows: list[dict[str, str]], chance: random.Random) -> Path:
    text = io.StringIO()
    quoting = chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    out = csv.writer(text, delimiter=form["separator"], quoting=quoting, lineterminator=chance.choice(["\n", "\r\n"]))
    if form["header"]:
        out.writerow(COLUMNS)
    mark = form.get("decimal", ".")
    for row in rows:
        out.writerow(cell.replace(".", mark) if name in ("z", "x", "n", "age") else cell for name, cell in row.items())
    content = text.getvalue().encode(form["encoding"])
    path.write_bytes(gzip.compress(content) if chance.random() < 0.3 else content)
    return path


def as_json(row: dict[str, str]) -> dict[str, Any]:
    """Write a row as a client sends it: numbers and booleans typed, texts as they are."""
    typed: dict[str, Any] = {name: row[name] for name in ("colour", "country", "mail")}
    for name in ("z", "x", "n", "age"):
        text = row[name].strip()
        missing = text in {"", "-", *column_types.cells.MISSING}
        typed[name] = (
            None
            if missing
            else int(float(text))
            if name == "n" and len(text) < 16
            else json.loads(str(float(text)) if name != "n" else text)
        )
    flag = row["flag"].strip().lower()
    known = {"true": True, "yes": True, "1.0": True, "no": False, "0": False, "false": False}
    return typed | {"flag": known.get(flag)}


def usecase(folder: Path, path: Path, form: dict[str, Any]) -> UseCase:
    source = {"path": str(path), "csv": form, "missing": ["-"]}
    return UseCase(
        name="tables", owner="us", task="binary", source=source, features=FEATURES, target=TARGET, folder=folder
    )


def meaning(schema: Schema, rows: list[dict[str, Any]]) -> list[Any]:
    """Return what a prediction, its key and its log depend on: the network's inputs and the masked row."""
    masked = [mask(row, schema, settings().mask_secret()) for row in rows]
    feeds = Encoder(schema).encode(masked)
    tokens = [row.get("mail") for row in masked]
    texts = [key_text(row, schema) for row in masked]
    return [feeds["numbers"].tobytes(), feeds["codes"].tolist(), tokens, texts]


def compared(folder: Path, chance: random.Random) -> bool:
    """Compare the readings of one table; returns whether training accepts it."""
    form, rows = drawn(chance)
    path = written(folder / "rows.data", form, rows, chance)
    found = usecase(folder, path, form)
    try:
        frame = column_types.to_typed(sources.read(found).frame, found, "rows")
    except DataError:
        return False
    snapshot = mask_private_values(frame, found)
    schema = schema_completion.complete(schema_builder.from_usecase(found), snapshot)
    parser = InstanceParser(schema)
    trained = meaning(schema, rows_from_frame(schema, snapshot))
    by_file = parser.rows(input_rows.read([str(path)], schema))
    sent = generator.instances(schema, file_source.read(path, schema))
    by_traffic = parser.request(json.dumps({"instances": sent}).encode(), len(rows)).instances
    by_http = parser.request(json.dumps({"instances": [*map(as_json, rows)]}).encode(), len(rows)).instances
    readings = {"file": by_file, "traffic": by_traffic, "http": by_http}
    for name, reading in readings.items():
        assert meaning(schema, reading) == trained, (name, form, rows)
    labels = generator._labels(schema, file_source.read(path, schema), 1.0, np.random.default_rng(0))
    assert [label["label"] for label in labels.values()] == snapshot["y"].tolist()
    return True


@pytest.mark.parametrize("seed", range(4))
def test_a_table_means_the_same_to_every_reader(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    accepted = [compared(tmp_path, chance) for _ in range(15)]
    assert sum(accepted) >= 10
