"""Tables of the model card: a row each, whatever names hold."""

from __future__ import annotations

import pytest

from pipelines.packaging.model_card import _row


@pytest.mark.parametrize(
    ("name", "shown"), [("age", "age"), ("a|b", r"a\|b"), ("a\nb", "a b"), ("a\u2028b", "a b"), ("", "")]
)
def test_a_name_ends_no_cell_and_no_line(name: str, shown: str) -> None:
    assert _row(name, "number", 3) == f"| {shown} | number | 3 |"
