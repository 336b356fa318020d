"""Reads a simple CSV file at once, as most large ones are: several times faster than row by row."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST_LINE = re.compile(rb"[^\r\n]*")
_EXCEL = (b"sep=", codecs.BOM_UTF8 + b"sep=")


def read(content: bytes, delimiter: str) -> pa.Table | None:
    """Read all lines, a header as well, as columns of text in UTF-8.

    Returns None if it takes a closer look: for quotation marks and line breaks in cells, lines that are not as wide as
    the first, other encodings, Excel's `sep=;`, and a table of one column, in which a line of blanks is no row.
    """
    import pyarrow as pa
    import pyarrow.csv

    first = _FIRST_LINE.match(content)
    width = first[0].count(delimiter.encode()) + 1 if first else 1
    if width == 1 or content.startswith(_EXCEL) or not _is_simple(content, delimiter):
        return None
    names = [str(number) for number in range(width)]
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(content),
            read_options=pyarrow.csv.ReadOptions(column_names=names),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid:
        return None


def _is_simple(content: bytes, delimiter: str) -> bool:
    """Whether quotation marks are around whole cells alone: Arrow is lenient with others."""
    if b'"' not in content:
        return True
    ends = re.escape(delimiter.encode()) + rb"\r\n"
    simple = rb'(?:[^"]++|(?<![^%b])"[^"\r\n]*+"(?![^%b]))*+' % (ends, ends)
    return re.fullmatch(simple, content) is not None
