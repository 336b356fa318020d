"""Encodes rows as clients send them to the arrays that the network takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from slipway.contracts.schema import Feature, Schema
from slipway.errors import DataError, InputError
from slipway.inference.images import decode_image
from slipway.inference.instance_parser import TOO_LARGE, picker

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
MISSING, UNKNOWN, FIRST = 0, 1, 2
_REASONS = msgspec.Meta(extra_json_schema={"enum": ["missing", "unknown_category", "out_of_range"]})


class InputWarning(msgspec.Struct, frozen=True):
    """A warning: an instance was answered although one of its values is unlike any in training.

    `reason` is `missing`, `unknown_category` or `out_of_range`.
    """

    instance: int
    feature: str
    reason: Annotated[str, _REASONS]


class Encoder:
    """Encodes rows to the network's inputs, and finds values that are out of range or unknown."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._names = schema.names
        self._numbers = [feature.name for feature in schema.numbers]
        self._pick_numbers = picker([self._names.index(name) for name in self._numbers])
        self._only_numbers = tuple(self._numbers) == self._names
        ranges = [feature.range or (-np.inf, np.inf) for feature in schema.numbers]
        self._low, self._high = np.array(ranges, np.float32).reshape(-1, 2).T
        self._codes = [feature.name for feature in schema.codes]
        self._books = [(self._names.index(feature.name), _codebook(feature)) for feature in schema.codes]
        self._images = [self._names.index(feature.name) for feature in schema.images]

    def encode(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """`numbers` float32 [n, N], `codes` int64 [n, C], `images` uint8 [n, h, w, c]; one without features is absent.

        Raises:
            InputError: a number is infinite, also after its cast to float32.
        """
        with np.errstate(over="ignore"):
            feeds = self.encode_values([tuple(map(row.get, self._names)) for row in rows])
        if self._numbers and np.isinf(feeds["numbers"]).any():
            self._refuse_infinite(feeds["numbers"])
        return feeds

    def encode_values(self, rows: Sequence[tuple[Any, ...]]) -> dict[str, np.ndarray]:
        """The same of rows as tuples in the order of `schema.names`, as an InstanceReader gives them: no number in them
        is infinite, or too large for 32 bits."""
        feeds: dict[str, np.ndarray] = {}
        if self._numbers:
            shape = len(rows), len(self._numbers)
            picked = rows if self._only_numbers else map(self._pick_numbers, rows)
            flat = np.fromiter(chain.from_iterable(picked), np.float32, shape[0] * shape[1])
            feeds["numbers"] = flat.reshape(shape)
        if self._books:
            books = self._books
            values = [[book.get(row[column], UNKNOWN) for column, book in books] for row in rows]
            feeds["codes"] = np.array(values, dtype=np.int64)
        for column in self._images:
            feeds["images"] = np.stack([row[column] for row in rows])
        return feeds

    def warnings(self, feeds: Mapping[str, np.ndarray]) -> list[InputWarning]:
        """List values that are missing, of an unknown category, or out of the range of the training data."""
        found: list[InputWarning] = []
        if self._numbers:
            numbers = feeds["numbers"]
            usual = self._in_range(numbers)
            if not all_true(usual):
                found += _warnings(usual, np.isnan(numbers), self._numbers, "out_of_range")
        if self._codes:
            codes = feeds["codes"]
            usual = codes >= FIRST
            if not all_true(usual):
                found += _warnings(usual, codes == MISSING, self._codes, "unknown_category")
        return sorted(found, key=lambda warning: warning.instance) if found else found

    def count_warnings(self, feeds: Mapping[str, np.ndarray]) -> int:
        """Count what `warnings` would list, without memory for each."""
        numbers = int(np.count_nonzero(~self._in_range(feeds["numbers"]))) if self._numbers else 0
        return numbers + (int(np.count_nonzero(feeds["codes"] < FIRST)) if self._codes else 0)

    def _in_range(self, numbers: np.ndarray) -> np.ndarray:
        in_range: np.ndarray = (numbers >= self._low) & (numbers <= self._high)
        return in_range

    def _refuse_infinite(self, numbers: np.ndarray) -> None:
        row, column = np.argwhere(np.isinf(numbers))[0]
        raise InputError(TOO_LARGE, f"instances[{row}].{self._numbers[column]}")


def _warnings(usual: np.ndarray, missing: np.ndarray, names: list[str], other: str) -> list[InputWarning]:
    """List the values that are not usual, of flags of the same shape."""
    rows, columns = np.nonzero(~usual)
    found = zip(rows.tolist(), columns.tolist(), missing[rows, columns].tolist(), strict=True)
    return [InputWarning(row, names[column], "missing" if gone else other) for row, column, gone in found]


def all_true(flags: np.ndarray) -> bool:
    """`flags.all()`, which takes a microsecond and a half of a request before it reads the first value."""
    return b"\0" not in flags.tobytes()


def encode(schema: Schema, rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Encode rows once, by `Encoder(schema).encode(rows)`."""
    return Encoder(schema).encode(rows)


def rows_from_frame(schema: Schema, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert a frame to rows as `encode` takes them: None for missing values, images decoded from files' bytes."""
    columns: dict[str, list[Any]] = {}
    for feature in schema.features:
        if feature.name not in frame.columns:
            continue
        values = frame[feature.name]
        if feature.kind == "image":
            columns[feature.name] = [decode_image(data, feature) for data in values]
        else:
            present = values.notna().tolist()
            columns[feature.name] = [v if there else None for v, there in zip(values.tolist(), present, strict=True)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _codebook(feature: Feature) -> dict[Any, int]:
    if feature.kind == "boolean":
        return {None: MISSING, False: FIRST, True: FIRST + 1}
    if feature.vocabulary is None:
        raise DataError(f"{feature.name} has no vocabulary yet: complete the schema with training rows first.")
    return {None: MISSING, **{value: code for code, value in enumerate(feature.vocabulary, start=FIRST)}}
