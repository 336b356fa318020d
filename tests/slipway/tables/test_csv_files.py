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
        zipped("folder/", "folder/a.csv", "folder/.DS_Store"),
        tarred("a.csv"),
        tarred("./._a.csv", "./a.csv"),
        gzip.compress(ROWS[:8]) + gzip.compress(ROWS[8:]),
        pyarrow.compress(ROWS[:8], "zstd", asbytes=True) + pyarrow.compress(ROWS[8:], "zstd", asbytes=True),
    ],
    ids=[
        *("gzip", "bzip2", "xz", "zstd", "zip", "zip of a Mac", "zip with a folder", "tar", "tar of a Mac"),
        *("gzip of two members", "zstd of two frames"),
    ],
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
        (pyarrow.compress(ROWS * 1000, "zstd", asbytes=True)[:-8], "cut off or damaged"),
        (zipped("a.csv")[:60], "cut off or damaged"),
        (zipped("a.csv", "b.csv"), r"an archive of 2 files \(a.csv, b.csv\)"),
        (zipped(), "an archive of 0 files"),
        (tarred("a.csv", "b.csv"), "an archive of 2 files"),
    ],
    ids=["gzip", "gzip without its end", "bzip2", "xz", "zstd", "zip", "zip of two", "zip of none", "tar of two"],
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
        (b"\xef\xbb\xbfa,b\n1,x\n2,y\n", {"encoding": "UTF_8"}),
        ("\ufeffa,b\n1,x\n2,y\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        (b"sep=;\r\na;b\r\n1;x\r\n2;y\r\n", {"separator": ";"}),
        (b"sep=,\na,b\n1,x\n2,y\n", {}),
        (b"a b\n1 x\n   \n2 y\n", {"separator": " "}),
        (b"a,b\r1,x\r2,y\r", {}),
        (b"a,b\r\n1,x\r\n\r\n   \r\n2,y", {}),
    ],
)
def test_the_form_of_the_file_is_declared(tmp_path: Path, content: bytes, form: dict) -> None:
    assert read(tmp_path, content, **form) == [["a", "b"], ["1", "x"], ["2", "y"]]


@pytest.mark.parametrize("text", ["x\ny", "x\r\ny", "x\u2028y", "x\x85y", "x\x0by", "x\x0cy", 'x""y', "x,y"])
def test_a_cell_in_quotation_marks_may_hold_any_end_of_a_line(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f'a,b\n"{text}",2\n'.encode()) == [["a", "b"], [text.replace('""', '"'), "2"]]


@pytest.mark.parametrize("separator", [",", "::", r"\s+", "\t"])
@pytest.mark.parametrize(
    "text",
    ["x::y", "x\ty  z", " x ", "x\r\n\ty ", "x\x1fy", "x" * 200_000],
    ids=["colons", "blanks", "blanks around", "line break", "unit separator", "long"],
)
def test_a_cell_in_quotation_marks_stays_as_it_is(tmp_path: Path, separator: str, text: str) -> None:
    between = separator.replace(r"\s+", " \t ")
    content = between.join(["a", "b\n2", f'"{text}"\n']).encode()
    assert read(tmp_path, content, separator=separator) == [["a", "b"], ["2", text]]


def test_a_missing_value_in_a_table_of_one_column_is_a_row(tmp_path: Path) -> None:
    assert read(tmp_path, b'a\n1\n""\n\n2\n') == [["a"], ["1"], [""], ["2"]]


def test_a_text_that_begins_as_bzip2_does_is_text(tmp_path: Path) -> None:
    assert read(tmp_path, b"BZh9,b\n1,2\n") == [["BZh9", "b"], ["1", "2"]]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso-8859-15"])
def test_utf8_that_is_declared_as_single_bytes_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(DataError, match="is UTF-8 in each of the 1 lines that are not ASCII"):
        read(tmp_path, "a,b\n1,é\n".encode(), encoding=encoding)
    assert read(tmp_path, "a,b\n1,é\n".encode(encoding), encoding=encoding) == [["a", "b"], ["1", "é"]]


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (ROWS, {}),
        (b"\xef\xbb\xbf a ,b\r\n1, x \r\n\r\n2,\xc3\xa9", {}),
        (b"1\tx\n\t\n", {"separator": r"\t", "header": False}),
        (b"1;x\n", {"separator": ";", "columns": ("a", "b"), "header": False}),
        (b"a,b\n", {}),
        (gzip.compress(ROWS, mtime=0), {}),
        (b'"a","b"\n"1, 2",\n"",x', {}),
        (b'a,b\n"1""",2\n', {}),
        (b'a,b\n"1\n2",2\n', {}),
        (b'a;b\n"1,2";"x,"\n', {"separator": ";"}),
        (b'a,b\n5" pipe,2"\n', {}),
        (b"sep=,\na,b\n1,2\n", {}),
        (b"sep=;\na;b\n", {"separator": ";"}),
        (b"a\n1\n  \n", {}),
        (b"a,b\r1,2\r", {}),
        ("a§b\n1§2\n".encode(), {"separator": "§"}),
        (b"a::b\n1::2\n", {"separator": "::"}),
        (b"a b\n1   2\n", {"separator": r"\s+"}),
    ],
)
def test_a_file_that_is_read_at_once_has_the_same_cells(tmp_path: Path, content: bytes, form: dict) -> None:
    path = tmp_path / "table"
    path.write_bytes(content)
    one, other = (how(path, TableFormat(**form)) for how in (csv_files.text_frame, csv_files.frame))
    assert list(one.columns) == list(other.columns)
    assert one.astype(object).map(str.strip).values.tolist() == other.map(str.strip).values.tolist()


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2,3\n", b"a,b\n1\n", b"a,a\n1,2\n", b"a,b\n1,\xff\n", b"", b'a,b\n"1"x,2\n', b'a,b\n"1,2\n']
)
def test_what_is_refused_row_by_row_is_refused_at_once(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table"
    path.write_bytes(content)
    messages = []
    for how in (csv_files.text_frame, csv_files.frame):
        with pytest.raises(DataError) as error:
            how(path)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


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
        (b"sep=;\na;b\n", {}, "its first line says that the separator is ';'"),
    ],
)
def test_a_file_that_is_not_as_declared_is_refused(tmp_path: Path, content: bytes, form: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content, **form)


def test_columns_without_a_name_are_numbered(tmp_path: Path) -> None:
    assert read(tmp_path, b",a,\n1,2,3\n")[0] == ["Unnamed: 0", "a", "Unnamed: 2"]
    assert read(tmp_path, b"1,2\n", header=False)[0] == [0, 1]
