"""The reader of CSV files: what it reads, and that nothing is shifted, cut or lost in silence."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pyarrow
import pytest

from slipway.contracts.schema import TableFormat
from slipway.errors import DataError
from slipway.tables import csv_files

ROWS = b"a,b\n1,x\n2,y\n"


def read(tmp_path: Path, content: bytes, **form: object) -> list[list[str]]:
    path = tmp_path / "table"
    path.write_bytes(content)
    frame = csv_files.frame(path, TableFormat(**form))
    return [list(frame.columns), *frame.values.tolist()]


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, ROWS)
    return buffer.getvalue()


def tarred(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(ROWS)
            archive.addfile(entry, io.BytesIO(ROWS))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(ROWS),
        bz2.compress(ROWS),
        lzma.compress(ROWS),
        pyarrow.compress(ROWS, "zstd", asbytes=True),
        zipped("a.csv"),
        zipped("a.csv", "__MACOSX/._a.csv"),
        tarred("a.csv"),
    ],
    ids=["gzip", "bzip2", "xz", "zstd", "zip", "zip of a Mac", "tar"],
)
def test_a_compressed_file_is_read_whatever_its_name_is(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == [["a", "b"], ["1", "x"], ["2", "y"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(ROWS * 1000)[:-40], "cut off or damaged"),
        (gzip.compress(ROWS)[:-4], "cut off or damaged"),
        (bz2.compress(ROWS * 100)[:-8], "cut off or damaged"),
        (lzma.compress(ROWS * 100)[:-8], "cut off or damaged"),
        (zipped("a.csv")[:60], "cut off or damaged"),
        (zipped("a.csv", "b.csv"), r"an archive of 2 files \(a.csv, b.csv\)"),
        (zipped(), "an archive of 0 files"),
        (tarred("a.csv", "b.csv"), "an archive of 2 files"),
    ],
    ids=["gzip", "gzip without its end", "bzip2", "xz", "zip", "zip of two", "zip of none", "tar of two"],
)
def test_a_cut_file_and_an_archive_of_several_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"a;b\n1;x\n2;y\n", {"separator": ";"}),
        (b"a, b\n1, x\n2, y\n", {"separator": ", "}),
        (b'a, "b"\n1, "x"\n2,y\n', {}),
        (b"a\tb\n1\tx\n2\ty\n", {"separator": "\t"}),
        (b"a\tb\n1\tx\n2\ty\n", {"separator": r"\t"}),
        (b"a   b\n 1 x \n2\t y\n", {"separator": r"\s+"}),
        (b"a::b\n1::x\n2::y\n", {"separator": "::"}),
        (b"1,x\n2,y\n", {"header": False, "columns": ("a", "b")}),
        (b"p,p\n1,x\n2,y\n", {"columns": ("a", "b")}),
        (b"2,kinds,x,y\n1,x\n2,y\n", {"columns": ("a", "b")}),  # scikit-learn's files begin with counts
        ("a,b\n1,x\n2,y\n".encode("utf-16"), {"encoding": "utf-16"}),
        (b"\xef\xbb\xbfa,b\n1,x\n2,y\n", {}),
        (b"a,b\r1,x\r2,y\r", {}),
        (b"a,b\r\n1,x\r\n\r\n   \r\n2,y", {}),
    ],
)
def test_the_form_of_the_file_is_declared(tmp_path: Path, content: bytes, form: dict) -> None:
    assert read(tmp_path, content, **form) == [["a", "b"], ["1", "x"], ["2", "y"]]


@pytest.mark.parametrize("text", ["x\ny", "x\r\ny", "x\u2028y", "x\x85y", "x\x0by", "x\x0cy", 'x""y', "x,y"])
def test_a_cell_in_quotation_marks_may_hold_any_end_of_a_line(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f'a,b\n"{text}",2\n'.encode()) == [["a", "b"], [text.replace('""', '"'), "2"]]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"price,rooms,area\n78,0,4,79\n74,3,1\n", "table:2: .*row 1 has 4 instead of 3"),
        (b"a,b\n1,2\n3,4,5\n", "table:3: .*row 2 has 3 instead of 2"),
        (b"a,b\n1,2\n3,4\n5", "table:4: .*row 3 has 1 instead of 2"),
        (b'a,b\n"1\n1",2\n3\n', "table:4: .*row 2 has 1 instead of 2"),
        (b"1,2\n3\n", "table:2: .*row 1 has 1 instead of 2"),
    ],
)
def test_a_row_that_is_not_as_wide_as_the_header_is_refused_with_its_line(
    tmp_path: Path, content: bytes, place: str
) -> None:
    with pytest.raises(DataError, match=place):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        (b"", {}, "is empty"),
        (b"x,x,y\n1,2,3\n", {}, r"several columns of one name: \['x'\]"),
        (b"x, x,y\n1,2,3\n", {}, r"several columns of one name: \['x'\]"),
        (b"1,2\n", {"columns": ("a",)}, "has 2 columns, and source.csv.columns names 1"),
        (b"a\n1,2\n", {"columns": ("a",)}, "has 2 columns, and source.csv.columns names 1"),
        (b"1,2\n", {"columns": ("a",), "header": False}, "has 2 columns, and source.csv.columns names 1"),
        (b"3,2\n1,2,3\n4,5\n", {"columns": ("a", "b", "c")}, ":3: has not as many cells"),
        (b'a,b\n"1,2\n3,4\n', {}, "is not CSV.*quotation marks"),
        (b'a,b\n1,"x\n2,y\n', {}, "is not CSV.*quotation marks"),
        (b"a,b\n1,\xff\n", {}, "source.csv.encoding"),
        (ROWS, {"encoding": "klingon"}, "klingon"),
    ],
)
def test_a_file_that_is_not_as_declared_is_refused(tmp_path: Path, content: bytes, form: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content, **form)


def test_columns_without_a_name_are_numbered(tmp_path: Path) -> None:
    assert read(tmp_path, b",a,\n1,2,3\n")[0] == ["Unnamed: 0", "a", "Unnamed: 2"]
    assert read(tmp_path, b"1,2\n", header=False)[0] == [0, 1]
