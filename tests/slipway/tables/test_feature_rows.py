"""Rows of a file by feature name: which form a file has, and whose column a feature takes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway.contracts.schema import TableFormat
from slipway.errors import DataError
from slipway.tables import feature_rows
from tests.support import bundles

SWAPPED = msgspec.structs.replace(
    bundles.REGRESSION, table=TableFormat(names={"area": "rooms", "rooms": "area"}, missing=("-",))
)


def test_a_feature_takes_its_own_column_where_another_has_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("area,rooms,price\n3,80,100\n-,70,\n")
    found = feature_rows.read(path, SWAPPED)
    assert found.rows == [{"area": 80.0, "rooms": 3}, {"area": 70.0, "rooms": None}]
    assert found.targets == [100.0, None]


@pytest.mark.parametrize(
    "table", [TableFormat(separator=";"), TableFormat(header=False, columns=("price", "area", "rooms"))]
)
def test_a_plain_file_is_understood_beside_any_form_of_the_source(tmp_path: Path, table: TableFormat) -> None:
    schema = msgspec.structs.replace(bundles.REGRESSION, table=table)
    path = tmp_path / "rows.csv"
    path.write_text("rooms,note,area\n3,x,80\n")
    found = feature_rows.read(path, schema)
    assert found.rows == [{"area": 80.0, "rooms": 3}] and found.ignored == ["note"] and found.targets is None


def test_a_file_of_no_feature_lacks_them_all(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    found = feature_rows.read(tmp_path / "rows.csv", bundles.REGRESSION)
    assert found.rows == [{}] and found.absent == ["area", "rooms"] and found.ignored == ["a", "b"]


def test_a_private_value_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("age,job,income\n1,nurse,secret\n")
    with pytest.raises(DataError, match=r"rows.csv:2: income .*private, not shown") as error:
        feature_rows.read(tmp_path / "rows.csv", bundles.PRIVATE)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_a_file_is_of_the_encoding_of_the_source_or_utf8(tmp_path: Path, encoding: str) -> None:
    schema = msgspec.structs.replace(bundles.TABULAR, table=TableFormat(encoding="latin-1"))
    (tmp_path / "rows.csv").write_text("job,age\nménage,1\n", encoding=encoding)
    assert feature_rows.read(tmp_path / "rows.csv", schema).rows == [{"age": 1.0, "job": "ménage"}]


def test_integers_beside_missing_values_are_not_rounded(tmp_path: Path) -> None:
    table = pa.table({"job": pa.array([2**53 + 1, None], pa.int64()), "age": [1.0, 2.0]})
    pq.write_table(table, tmp_path / "rows.parquet")
    found = feature_rows.read(tmp_path / "rows.parquet", bundles.TABULAR)
    assert [row["job"] for row in found.rows] == [str(2**53 + 1), None]
