"""Cleaning: it drops and corrects rows, and never makes a column that a caller would have to compute."""

from __future__ import annotations

import pandas as pd
import pytest

from pipelines.artifacts.json_files import read_json
from pipelines.steps.clean import clean
from pipelines.steps.ingest import ingest
from slipway.errors import DataError, UseCaseError


@pytest.fixture
def cleaned(usecase, orders, step, tmp_path):
    """`cleaned(code)` ingests the orders and cleans them with that body of `clean(frame)`."""

    def run(code: str | None, frame: pd.DataFrame = orders):
        found = usecase(frame)
        if code:
            (tmp_path / "usecases" / "orders" / "clean.py").write_text(f"def clean(frame):\n    {code}\n")
        return step(clean, found, step(ingest, found))

    return run


def test_rows_without_a_target_go_and_are_counted(cleaned, orders):
    orders.loc[:9, "returned"] = ""
    out = cleaned(None, orders)
    assert len(pd.read_parquet(out / "cleaned.parquet")) == 290
    result = read_json(out / "report.json")
    assert (result["rows"], result["without_target"], result["dropped"], result["kept"]) == (300, 10, 0, 290)


def test_the_use_case_drops_and_corrects(cleaned, orders):
    out = cleaned("return frame[frame['items'] > 1].assign(country='de')")
    result = read_json(out / "report.json")
    assert result["dropped"] == (orders["items"] == "1").sum()
    kept = orders[orders["items"] != "1"]
    assert result["changed"] == {"country": int((kept["country"] != "de").sum())}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("return frame.assign(total=1)", r"added or removed the columns \['total'\].*layer in model.py"),
        ("return frame.drop(columns='items')", r"added or removed the columns \['items'\]"),
        ("frame['items'] = 0", "returned NoneType"),
        ("import pandas as pd; return pd.concat([frame, frame])", "made rows"),
    ],
)
def test_anything_else_is_refused(cleaned, code, message):
    with pytest.raises(UseCaseError, match=message):
        cleaned(code)


def test_cleaning_everything_away_is_refused(cleaned):
    with pytest.raises(DataError, match="what cleaning left holds 0 rows"):
        cleaned("return frame[:0]")
