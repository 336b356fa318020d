"""Any table that training accepts means the same, row by row, to `predict FILE`, to `traffic --from` and over HTTP.

`SLIPWAY_TEST_TABLES=5000` draws that many tables, and other ones each time.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import pyarrow
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

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
from tests.support import graphs

TABLES = os.environ.get("SLIPWAY_TEST_TABLES")
BLANKS = ["", "", "", " ", "\t", "  ", "\u00a0", "\u2003", "\x85", "\u2028", "\x0b", "\n", "\r\n"]
WORDS = [
    *("red", " red", "two words", "DE", "é", "日本", 'the "red"', "a;b,c|d", "a::b", "a\tb", "line\nbreak", "x\r\ny"),
    *("x\u2028y", "x\x85y", "x\x1fy", "x\u00a0y", "NA", "N/A", "null", "nan", "?", "None", "-", "none", "\x00"),
    *("1", "1.0", "1.00", "01", "1e0", "-0", "0", "0.0", "10", "10.0", "-999", "-999.0", "True", "true", "TRUE", "no"),
]
SPELLINGS = ["+5", ".5", "5.", "-0", "-0.0", "007", "1e3", "1E-3", "1.5e+2", "12.0", "-999", "-999.0"]
INTEGERS = ["+5", "007", "1e3", "12.0", "-0", "-999", "-9.99e2", *map(str, [2**53 - 1, 1 - 2**53])]
LARGE = [*map(str, [2**53, 2**53 + 1, 2**63 - 1, -(2**63) + 1])]
TRUTHS = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}
WRONG = ["0x10", "1_000", "１２", "١", "1,234", "1e400", "-inf", "1e", "--1", "5%", "on", str(2**63), "2.5"]
MINUS_999 = {"-999", "-999.0", "-9.99e2"}
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"]
NUMERIC = ("number", "integer")


@dataclass(frozen=True)
class Table:
    """A use case's features and target, the form of its file, and the cells of its rows by column."""

    features: list[dict[str, Any]]
    target: dict[str, Any]
    form: dict[str, Any]
    missing: list[str]
    rows: list[dict[str, str]]
    content: bytes = field(repr=False)
    flawed: bool

    def usecase(self, folder: Path) -> UseCase:
        source = {"path": str(folder / "rows.data"), "csv": self.form, "missing": self.missing}
        task = "binary" if "classes" in self.target else "regression"
        fields = {"owner": "us", "task": task, "features": self.features, "target": self.target, "folder": folder}
        return UseCase(name="tables", source=source, **fields)


def padded(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(BLANKS), texts, st.sampled_from(BLANKS)).map("".join)


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"), max_size=5)
CELLS = {
    "number": st.integers(-1000, 1000).map(str) | FLOATS | st.sampled_from(SPELLINGS),
    "integer": st.integers(-1000, 1000).map(str) | st.sampled_from(INTEGERS),
    "boolean": st.sampled_from([*TRUTHS, "TRUE", "Yes", "False"]),
    "category": st.sampled_from(WORDS) | TEXTS,
}


@st.composite
def features(draw: st.DrawFn, position: int, missing: list[str]) -> dict[str, Any]:
    kind = draw(st.sampled_from([*CELLS]))
    found: dict[str, Any] = {"name": f"f{position}", "kind": kind, "nullable": draw(st.booleans())}
    if draw(st.booleans()):
        found["column"] = draw(st.sampled_from(["the {}", 'a "{}"', "x,{}", "straße {}"])).format(position)
    if private := draw(st.sampled_from([None, None, "drop", "token", "bucket"])):
        if private != "bucket" or kind in NUMERIC:
            found["private"] = private
        if found.get("private") == "bucket":
            found["bins"] = [-5, 0.5, 1000]
    elif kind == "category" and draw(st.booleans()):
        words = st.sampled_from([*WORDS, ""]).filter(lambda word: word not in missing)
        found["vocabulary"] = draw(st.lists(words, min_size=1, max_size=6, unique=True))
    return found


def is_missing(cell: str, kind: str, known: list[str], missing: list[str]) -> bool:
    """Whether a cell of a valid table has no value: a word of the vocabulary is a value, -999.0 is -999."""
    text = cell.strip()
    if text in {*MISSING, *missing} - {*known}:
        return cell not in known
    return kind in NUMERIC and "-999" in missing and text in MINUS_999


def column(feature: dict[str, Any], missing: list[str], large: bool, flawed: bool) -> st.SearchStrategy[str]:
    """Make the cells of a column; a feature that requests may not leave out has none that are missing."""
    kind, known = feature["kind"], feature.get("vocabulary", [])
    usual = CELLS[kind] | st.sampled_from(known) if known else CELLS[kind]
    if flawed:
        usual = usual | st.sampled_from(WRONG)
    if kind == "integer" and large:
        usual = usual | st.sampled_from(LARGE)
    elif feature["nullable"] or feature.get("private") in ("drop", "token"):
        return padded(usual | st.sampled_from([*MISSING, *missing]))
    return padded(usual).filter(lambda cell: not is_missing(cell, kind, known, missing))


@st.composite
def forms(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    form: dict[str, Any] = {
        "separator": draw(st.sampled_from([",", ";", "\t", r"\t", "|", ", ", "::", " ", r"\s+"])),
        "header": draw(st.booleans()),
        "encoding": draw(st.sampled_from(["utf-8", "UTF_8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"])),
    }
    if form["separator"].strip() != "," and draw(st.booleans()):
        form["decimal"] = ","
    if not form["header"]:
        form["columns"] = names
    return form


@st.composite
def tables(draw: st.DrawFn) -> Table:
    missing = draw(st.lists(st.sampled_from(["-", "none", "-999"]), unique=True))
    count = draw(st.integers(1, 4))
    described = [draw(features(position, missing)) for position in range(count)]
    described.append({"name": "z", "kind": "number", "nullable": False})  # the network needs an input
    target = draw(st.sampled_from([{"name": "y", "classes": ["0", "1"], "positive": "1"}, {"name": "y"}]))
    flawed, large = draw(st.integers(0, 9)) == 0, draw(st.booleans())
    by_column = {
        feature.get("column", feature["name"]): column(feature, missing, large, flawed) for feature in described
    }
    classes = padded(st.sampled_from(["0", "1", "1.0", "0.00", ""]))
    names = draw(st.permutations([*by_column, "y", "other"]))
    by_column |= {"y": classes if "classes" in target else padded(CELLS["number"]), "other": TEXTS}
    rows = draw(st.lists(st.fixed_dictionaries(by_column), min_size=1, max_size=8))
    form = draw(forms(names))
    numeric = {f.get("column", f["name"]) for f in described if f["kind"] in NUMERIC}
    if "classes" not in target:
        numeric.add("y")
    content = draw(contents(names, rows, form, numeric))
    return Table(described, target, form, missing, rows, content, flawed)


@st.composite
def contents(
    draw: st.DrawFn, names: list[str], rows: list[dict[str, str]], form: dict[str, Any], numeric: set
) -> bytes:
    """Write the file as its form says, or as UTF-8 where its encoding lacks a character."""
    mark, quoting, end = form.get("decimal", "."), draw(st.booleans()), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [names] if form["header"] else []
    lines += [[row[name].replace(".", mark) if name in numeric else row[name] for name in names] for row in rows]
    separator = {r"\t": "\t", r"\s+": draw(st.sampled_from([" ", "  ", "\t", " \t"]))}.get(
        form["separator"], form["separator"]
    )
    text = end.join(separator.join(written(cell, form["separator"], quoting) for cell in line) for line in lines)
    text += draw(st.sampled_from(["", end, end + end, f"{end}  {end}"]))
    try:
        content = text.encode(form["encoding"])
    except UnicodeEncodeError:
        form["encoding"], content = "utf-8", text.encode()
    if form["encoding"] in ("utf-8", "UTF_8", "utf-16-le") and draw(st.booleans()):
        content = "\ufeff".encode(form["encoding"]) + content
    return draw(st.sampled_from([bytes, bytes, *COMPRESSIONS]))(content)


def written(cell: str, separator: str, quoting: bool) -> str:
    special = '"\r\n' + (" \t" if separator == r"\s+" else separator.replace(r"\t", "\t").strip(" ") or " ")
    if quoting or any(character in cell for character in special) or separator == r"\s+" and not cell.strip():
        return '"' + cell.replace('"', '""') + '"'
    return cell


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("folder/", b"")
        archive.writestr("folder/rows.csv", content)
        archive.writestr("__MACOSX/folder/._rows.csv", b"\x00")
    return buffer.getvalue()


def in_two(compress: Any) -> Any:
    """Compress the two halves on their own, as where files are put together."""
    return lambda content: compress(content[: len(content) // 2]) + compress(content[len(content) // 2 :])


def zstd(content: bytes) -> bytes:
    return pyarrow.compress(content, "zstd", asbytes=True)


COMPRESSIONS = [zipped, gzip.compress, *map(in_two, [gzip.compress, bz2.compress, lzma.compress, zstd])]


def as_json(table: Table, row: dict[str, str]) -> dict[str, Any]:
    """Write a row as a client sends it: numbers and booleans typed, texts as they are."""
    typed: dict[str, Any] = {}
    for feature in table.features:
        cell, kind = row[feature.get("column", feature["name"])], feature["kind"]
        if kind != "category" and is_missing(cell, kind, [], table.missing):
            cell = None
        elif kind in NUMERIC:
            exact = Decimal(cell.strip().replace(table.form.get("decimal", "."), "."))
            cell = int(exact) if kind == "integer" else float(exact)
        elif kind == "boolean":
            cell = TRUTHS[cell.strip().lower()]
        typed[feature["name"]] = cell
    return typed


@cache
def network(numbers: int, codes: int, outputs: int) -> onnxruntime.InferenceSession:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        graphs.tabular(path, numbers, codes, outputs)
        return onnxruntime.InferenceSession(path)


def meaning(schema: Schema, rows: list[dict[str, Any]]) -> list[Any]:
    """Return the predictions, and what they, keys and the log depend on: the network's inputs and the masked row."""
    masked = [mask(row, schema, settings().mask_secret()) for row in rows]
    feeds = Encoder(schema).encode(masked)
    (predicted,) = network(len(schema.numbers), len(schema.codes), len(schema.classes) or 1).run(None, feeds)
    tokens = [[row.get(feature.name) for feature in schema.masked] for row in masked]
    texts = [key_text(row, schema) for row in masked]
    return [predicted.tobytes(), {name: (values + 0).tobytes() for name, values in feeds.items()}, tokens, texts]


def request(parser: InstanceParser, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    body = json.dumps({"instances": instances}, ensure_ascii=False).encode()
    return parser.request(body, len(instances)).instances


def labels(schema: Schema, found: UseCase) -> list[Any]:
    frame = file_source.read(Path(found.source.path or ""), schema)
    drawn = generator._labels(schema, frame, 1.0, np.random.default_rng(0))
    return [next(iter(drawn[row].values())) if row in drawn else None for row in range(len(frame))]


@profile(max_examples=int(TABLES or 25), derandomize=TABLES is None, database=None, deadline=None)
@given(table=tables())
def test_a_table_means_the_same_to_every_reader(table: Table) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.data"
        path.write_bytes(table.content)
        found = table.usecase(Path(folder))
        try:
            frame = column_types.to_typed(sources.read(found).frame, found, "rows")
        except DataError:
            assert table.flawed
            return
        snapshot = mask_private_values(frame, found)
        schema = schema_completion.complete(schema_builder.from_usecase(found), snapshot)
        parser = InstanceParser(schema)
        trained = meaning(schema, rows_from_frame(schema, snapshot))
        sent = generator.instances(schema, file_source.read(path, schema))
        readings = {
            "file": parser.rows(input_rows.read([str(path)], schema)),
            "traffic": request(parser, sent),
            "http": request(parser, [as_json(table, row) for row in table.rows]),
        }
        for name, reading in readings.items():
            assert meaning(schema, reading) == trained, name
        truths = [None if truth != truth else truth for truth in snapshot["y"].tolist()]
        assert labels(schema, found) == truths
