"""The meaning of a cell, by the kind of its feature."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from slipway.tables.cells import MISSING, CellError, converter


@pytest.mark.parametrize("kind", ["number", "integer", "boolean", "category"])
@pytest.mark.parametrize("cell", [*sorted(MISSING), " NA ", "\t", "\u00a0", None, math.nan, np.float64("nan")])
def test_words_for_missing_values_are_missing_in_every_kind(kind: str, cell: Any) -> None:
    assert converter(kind)(cell) is None


def test_more_words_for_missing_values_can_be_declared() -> None:
    convert = converter("number", missing=MISSING | {"-", "-999"})
    assert [convert(cell) for cell in ("-", " -999 ", "-998")] == [None, None, -998.0]


@pytest.mark.parametrize("kind", ["number", "integer", "category"])
@pytest.mark.parametrize("cell", [-999, -999.0, np.int64(-999), Decimal("-999.00"), b"-999"])
def test_a_number_for_missing_values_is_one_in_parquet_as_well(kind: str, cell: Any) -> None:
    assert converter(kind, missing={"-999"})(cell) is None


@pytest.mark.parametrize("kind", ["number", "integer"])
@pytest.mark.parametrize("cell", ["-999.0", "-9.99e2"])
def test_a_number_for_missing_values_is_one_however_it_is_written(kind: str, cell: str) -> None:
    assert converter(kind, missing={"-999"})(cell) is None


@pytest.mark.parametrize("kind", ["number", "integer", "boolean", "category"])
@pytest.mark.parametrize(
    ("cell", "advice"),
    [([1], "A list"), ({"a": 1}, "A list"), (np.array([1, 2]), "A list"), ((1, 2), "A list"), (b"\xff", "UTF-8")],
)
def test_what_is_no_single_value_is_refused(kind: str, cell: Any, advice: str) -> None:
    with pytest.raises(CellError, match=advice):
        converter(kind)(cell)


def test_a_float_that_may_have_been_rounded_is_no_category() -> None:
    with pytest.raises(CellError, match="may have been rounded"):
        converter("category")(2.0**53)


def test_a_known_value_is_no_missing_word() -> None:
    convert = converter("category", known={"DE", "NA", "null"})
    assert [convert(cell) for cell in ("NA", " null", "?", "DE")] == ["NA", "null", None, "DE"]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("9007199254740993", 2**53 + 1),
        ("9007199254740993.0", 2**53 + 1),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775807", 1 - 2**63),
        (" 12 ", 12),
        ("+12.000", 12),
        ("1e3", 1000),
        ("1.5e1", 15),
        ("0012", 12),
        (True, 1),
        (np.uint64(2**63 - 1), 2**63 - 1),
        (np.int8(-3), -3),
        (12.0, 12),
        (float(2**53 - 1), 2**53 - 1),
        (Decimal("12.00"), 12),
    ],
)
def test_an_integer_is_exact(cell: Any, value: int) -> None:
    found = converter("integer")(cell)
    assert found == value and type(found) is int


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("9223372036854775808", "64 bits"),
        ("-9223372036854775808", "64 bits"),
        ("1e30", "64 bits"),
        ("1e999999999", "64 bits"),
        ("1e99999999999999999999999", "Correct"),
        ("-1e-999999999", "a `number`"),
        (np.uint64(2**64 - 1), "64 bits"),
        (Decimal(2**70), "64 bits"),
        (2.0**53, "2\\^53 or more"),
        (2.0**60, "2\\^53 or more"),
        (np.float32(2**60), "2\\^53 or more"),
        ("2.5", "a `number`"),
        ("1.00000000000000000000000000000000001", "a `number`"),
        ("1e-400", "a `number`"),
        (Decimal("0.5"), "a `number`"),
        ("inf", "Infinities"),
        (math.inf, "Infinities"),
        ("1_000", "Correct"),
        ("٣", "Correct"),
        ("0x10", "Correct"),
        (datetime.timedelta(1), "durations"),
    ],
)
def test_an_integer_that_is_not_exact_is_refused(cell: Any, advice: str) -> None:
    with pytest.raises(CellError, match=advice):
        converter("integer")(cell)


@pytest.mark.parametrize(
    ("cell", "value"), [("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("-1E3", -1000.0), (Decimal("1.5"), 1.5), (7, 7.0)]
)
def test_a_number_is_read(cell: Any, value: float) -> None:
    assert converter("number")(cell) == value


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("1,5", "source.csv.decimal"),
        ("1.234,5", "source.csv.decimal"),
        ("$5", "Correct"),
        ("5 %", "Correct"),
        ("1e39", "Infinities"),
        ("-Infinity", "Infinities"),
        ("NAN", "Correct"),
        ("1 000", "Correct"),
        (datetime.date(2026, 1, 1), "Dates"),
    ],
)
def test_what_is_no_number_is_refused_with_what_to_do(cell: Any, advice: str) -> None:
    with pytest.raises(CellError, match=advice):
        converter("number")(cell)


def test_a_decimal_comma_is_declared() -> None:
    convert = converter("number", decimal=",")
    assert [convert(cell) for cell in ("1,5", "-,5", "3")] == [1.5, -0.5, 3.0]
    with pytest.raises(CellError, match="has a point"):
        convert("1.500")


@pytest.mark.parametrize(
    ("cell", "value"),
    [(" Yes", True), ("1.0", True), (1.0, True), (np.bool_(True), True), ("FALSE", False), (0, False)],
)
def test_a_boolean_is_read(cell: Any, value: bool) -> None:
    assert converter("boolean")(cell) is value


@pytest.mark.parametrize(
    ("cell", "known", "word"),
    [
        (" red\t", (), "red"),
        ("\u00a0red", ("red",), "red"),
        (" red", (" red", "red"), " red"),
        ("1.0", ("0", "1"), "1"),
        ("1", ("0.0", "1.0"), "1.0"),
        ("1.0", (), "1.0"),
        ("1.5", ("1",), "1.5"),
        (1.0, (), "1"),
        (np.int64(1), ("1",), "1"),
        (True, ("true",), "true"),
        ("True", ("false", "true"), "true"),
        ("True", (), "True"),
        ("TRUE", ("false", "true"), "true"),
        (True, ("False", "True"), "True"),
        ("1.00", ("0.0", "1.0"), "1.0"),
        ("red", (" red",), " red"),
        (b"red", ("red",), "red"),
        (Decimal("1000.00"), (), "1000"),
        ("01", ("1",), "01"),
        ("1e0", ("1",), "1e0"),
        ("x\u2028y", (), "x\u2028y"),
    ],
)
def test_a_category_takes_the_form_of_a_known_value(cell: Any, known: tuple[str, ...], word: str) -> None:
    assert converter("category", known=known)(cell) == word
