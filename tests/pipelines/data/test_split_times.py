"""The column that divides rows by time: one format for all of it, or a refusal."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

from pipelines.data import split_times
from slipway.config.sections import Split
from slipway.errors import DataError


def read(cells: list[Any], **split: str) -> list[Any]:
    return split_times.read(pd.Series(cells), Split(time="day", **split)).tolist()


def utc(*times: str) -> list[pd.Timestamp]:
    return [pd.Timestamp(time, tz="UTC") for time in times]


def test_days_and_months_are_told_apart_by_the_whole_column() -> None:
    assert read(["02/01/2023", "03/01/2023", "13/01/2023"]) == utc("2023-01-02", "2023-01-03", "2023-01-13")
    assert read(["01/02/2023", "01/13/2023"]) == utc("2023-01-02", "2023-01-13")
    assert read(["01.02.2024 10:30", "31.12.2024 11:00"]) == utc("2024-02-01 10:30", "2024-12-31 11:00")
    assert read(["Jan 5, 2024", "Feb 6, 2024"]) == utc("2024-01-05", "2024-02-06")


@pytest.mark.parametrize(
    ("cells", "readings"),
    [
        (
            ["01/01/2023", "02/01/2023"],
            ["row 2 holds '02/01/2023'", "2023-02-01", "2023-01-02", "%m/%d/%Y", "%d/%m/%Y"],
        ),
        (["02.03.2023 10:00"], ["2023-02-03 10:00", "2023-03-02 10:00"]),
        (["01/02/18", "13/02/18"], ["2018-02-01", "%d/%m/%y", "2001-02-18", "%y/%m/%d"]),
        (["1/2/69"], ["1969-02-01", "1969-01-02"]),
        (["31012024", "01022024"], ["'31012024', which is a number, or 2024-01-31 by '%d%m%Y'"]),
        (["12312024", "01022024"], ["2024-12-31 by '%m%d%Y'"]),
        (["122023", "012024"], ["2023-12-01 by '%m%Y'"]),
    ],
)
def test_an_ambiguous_column_is_refused_with_every_reading(cells: list[str], readings: list[str]) -> None:
    with pytest.raises(DataError) as error:
        read(cells)
    assert all(part in str(error.value) for part in [*readings, "Set split.time_format"])


def test_a_declared_format_decides() -> None:
    assert read(["02/01/23", "03/01/23"], time_format="%d/%m/%y") == utc("2023-01-02", "2023-01-03")
    assert read([20240102], time_format="%Y%m%d") == utc("2024-01-02")
    with pytest.raises(DataError, match="row 2 holds '13/13/23'"):
        read(["02/01/23", "13/13/23"], time_format="%d/%m/%y")
    with pytest.raises(DataError, match="'%Q' is no format"):
        read(["02/01/23"], time_format="%Q")
    with pytest.raises(DataError, match="day names several zones"):
        read(["2024-01-01 10:00 UTC", "2024-01-02 10:00 EST"], time_format="%Y-%m-%d %H:%M %Z")


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (["13/01/2023", "01/14/2023"], 2),
        (["10:30", "11:30"], 1),
        (["2024-01-02 10:00 CET"], 1),
        (["2024-01-02", "tomorrow"], 2),
        (["today"], 1),
        (["2024-01-02", ""], 2),
        (["2024-01-02", "NA"], 2),
        (["2024-01-02", None], 2),
        ([1.0, None], 2),
        (["9999-01-01"], 1),
        (["2024-01-01T24:00"], 1),
        (["2024-W05-1"], 1),
        ([1.0, float("inf")], 2),
    ],
)
def test_a_cell_that_is_no_time_is_refused_with_its_row(cells: list[Any], row: int) -> None:
    with pytest.raises(DataError, match=f"split.time: day of row {row} holds .*a time is needed in each row"):
        read(cells)


def test_epochs_and_counters_in_a_csv_are_numbers() -> None:
    assert read(["1577836800", "9007199254740993"]) == [1577836800, 9007199254740993]
    assert read(["731", "732.5"]) == [731.0, 732.5]
    assert read(["20240201", "20240131"]) == [20240201, 20240131]
    assert read(["10012024", "11012024"]) == [10012024, 11012024]
    assert read([2, 1]) == [2, 1]


def test_times_without_a_zone_are_in_the_declared_one() -> None:
    berlin = {"time_zone": "Europe/Berlin"}
    assert read(["2024-07-02 12:00", "2024-01-03T12:00+05:00"], **berlin) == utc("2024-07-02 10:00", "2024-01-03 07:00")
    assert read(["2024-01-02 10:00 CET"], time_format="%Y-%m-%d %H:%M CET", **berlin) == utc("2024-01-02 09:00")
    assert read(["2024-10-27 02:30", "2024-03-31 02:30"], **berlin) == utc("2024-10-27 01:30", "2024-03-31 01:00")
    assert read([pd.Timestamp("2024-01-02 12:00")], **berlin) == utc("2024-01-02 11:00")
    assert read([pd.Timestamp("2024-01-02", tz="Asia/Tokyo")], **berlin) == utc("2024-01-01 15:00")
    assert read([date(2024, 1, 2)]) == utc("2024-01-02")
    with pytest.raises(ValueError, match="is no zone"):
        Split(time_zone="Europe/Atlantis")
