"""Validation: critical expectations block, warnings are reported, and no result or page shows a private value."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.artifacts.json_files import read_json
from pipelines.steps.clean import clean
from pipelines.steps.ingest import ingest
from pipelines.steps.validate import validate
from slipway.errors import DataError

pytestmark = pytest.mark.slow


@pytest.fixture
def validated(usecase, step, tmp_path):
    """`validated(frame, code)` validates the frame, with that body of `expectations(suite)`."""

    def run(frame, code: str | None = None, **changes) -> Path:
        found = usecase(frame, **changes)
        if code:
            text = "import great_expectations.expectations as gxe\n\n\ndef expectations(suite):\n    " + code + "\n"
            (tmp_path / "usecases" / "orders" / "validate.py").write_text(text)
        return step(validate, found, step(clean, found, step(ingest, found)))

    return run


def test_good_rows_pass_and_leave_data_docs(validated, orders):
    out = validated(orders)
    result = read_json(out / "result.json")
    assert result["passed"] and not result["warnings"] and result["checked"] > 8
    assert (out / "docs" / "index.html").exists()


def test_a_few_odd_values_are_a_warning(validated, orders):
    orders.loc[:4, "country"] = "atlantis"
    result = read_json(validated(orders) / "result.json")
    assert result["passed"]
    assert result["warnings"] == ["country: column values to be in set: 5 rows differ"]


def test_many_odd_values_block(validated, orders):
    orders.loc[:49, "amount"] = "5000"
    with pytest.raises(DataError, match="amount: column values to be between: 50 rows differ"):
        validated(orders)


def test_a_missing_value_blocks_where_the_feature_is_not_nullable(validated, orders):
    orders.loc[:9, "amount"] = ""
    assert read_json(validated(orders) / "result.json")["passed"], "amount is nullable"
    orders.loc[2, "items"] = ""
    with pytest.raises(DataError, match="items: column values to not be null: 1 rows differ"):
        validated(orders)


def test_an_unknown_class_blocks(validated, orders):
    orders.loc[1, "returned"] = "perhaps"
    with pytest.raises(DataError, match="returned: column values to be in set"):
        validated(orders)


def test_the_use_case_adds_its_own(validated, orders):
    warning = "suite.add_expectation(gxe.ExpectTableRowCountToEqual(value=5, severity='warning'))"
    result = read_json(validated(orders, warning) / "result.json")
    assert result["passed"] and result["warnings"] == ["table: table row count to equal: it does not hold"]
    with pytest.raises(DataError, match="table row count to equal"):
        validated(orders, warning.replace("warning", "critical"))


def test_an_expectation_that_cannot_be_computed_blocks(validated, orders):
    unknown = "suite.add_expectation(gxe.ExpectColumnValuesToNotBeNull(column='colour', severity='warning'))"
    with pytest.raises(DataError, match="colour: .* could not be computed"):
        validated(orders, unknown)


def test_no_page_and_no_result_shows_a_value_that_is_private(validated, orders):
    orders.loc[:4, "country"] = "atlantis"
    out = validated(orders)
    text = "".join(path.read_text() for path in out.rglob("*") if path.suffix in (".json", ".html"))
    assert "person1@" not in text and "+49 30" not in text
    assert "tok_" not in text, "a token, too, singles a person out"


def test_nothing_but_our_lines_is_printed(validated, orders, capfd):
    validated(orders)
    assert capfd.readouterr() == ("", "")
