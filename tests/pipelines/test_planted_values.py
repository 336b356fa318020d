"""Private values are planted in the raw rows of a training; no file of its steps, no page and no log line has one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from pipelines.steps.clean import clean
from pipelines.steps.ingest import ingest
from pipelines.steps.split import split
from pipelines.steps.validate import validate
from slipway.errors import DataError, SlipwayError

pytestmark = pytest.mark.slow
PLANTED = ("planted-mail", "planted-phone")


@pytest.fixture
def planted(orders: pd.DataFrame) -> pd.DataFrame:
    numbers = range(len(orders))
    return orders.assign(
        email=[f"planted-mail-{number}@example.com" for number in numbers],
        phone=[f"planted-phone-{number}" for number in numbers],
    )


def test_no_output_of_the_steps_has_a_planted_value(usecase, step, planted, tmp_path, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    found = usecase(planted)
    ingested = step(ingest, found)
    cleaned = step(clean, found, ingested)
    step(validate, found, cleaned)
    step(split, found, cleaned)
    assert _found_in(tmp_path / "steps") == []
    assert not any(value in caplog.text for value in PLANTED)


def test_no_output_of_rows_that_fail_has_a_planted_value(usecase, step, planted, tmp_path, caplog) -> None:
    """Errors and pages of bad rows show what is wrong, and never a private value beside it."""
    caplog.set_level(logging.DEBUG)
    planted.loc[30:60, "country"] = "atlantis"
    found = usecase(planted)
    cleaned = step(clean, found, step(ingest, found))
    with pytest.raises(DataError, match="country") as caught:
        step(validate, found, cleaned)
    assert _found_in(tmp_path / "steps") == []
    assert not any(value in caplog.text + str(caught.value) for value in PLANTED)


def test_an_error_about_a_private_column_does_not_show_its_values(usecase, step, planted) -> None:
    planted["age"] = "planted-phone-as-an-age"
    with pytest.raises(SlipwayError) as caught:
        found = usecase(planted)
        step(clean, found, step(ingest, found))
    assert not any(value in str(caught.value) for value in PLANTED)


def _found_in(folder: Path) -> list[tuple[str, str]]:
    """The files with a planted value; Parquet is compressed, so its cells are searched."""
    return [(name, value) for name, text in _texts(folder) for value in PLANTED if value in text]


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            yield str(path), pd.read_parquet(path).to_csv()
        elif path.is_file():
            yield str(path), path.read_bytes().decode(errors="replace")
