"""Lines of a CSV file before they are divided into cells: of their encoding, without marks, with single blanks."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from slipway.contracts.schema.model import TableFormat
from slipway.errors import DataError

BLANKS = r"\s+"
_SINGLE_BYTE = ("iso8859", "cp125")
_MARK = "\ufeff"
_QUOTED_OR_BLANKS = re.compile(r'(?<![^ \t])"(?:[^"]|"")*(?P<open>\Z)?"?|(?P<blanks>[ \t]+)(?P<last>[\r\n]*\Z)?')
_EXCEL = re.compile(r"sep=(.)[\r\n]*")


def delimiter(separator: str) -> str:
    """Return what divides cells, without the blanks around it; a blank where it is any number of them."""
    return {BLANKS: " ", r"\t": "\t"}.get(separator) or separator.strip(" ") or " "


def several_characters(separator: str) -> str:
    """Return a separator of several characters without the blanks around it, or nothing."""
    found = delimiter(separator)
    return found if len(found) > 1 else ""


def of_its_encoding(lines: Iterable[str], form: TableFormat, origin: str) -> Iterator[str]:
    """Pass lines on, and refuse UTF-8 that is read by an encoding of single bytes, in which each text is one."""
    single = codecs.lookup(form.encoding).name.startswith(_SINGLE_BYTE)
    utf8 = others = 0
    for line in lines:
        if single and not line.isascii():
            try:
                line.encode(form.encoding).decode()
                utf8 += 1
            except UnicodeError:
                others += 1
        yield line
    if utf8 and not others:
        raise DataError(
            f"{origin} is read as {form.encoding} (source.csv.encoding), and is UTF-8 in each of the {utf8} lines that "
            "are not ASCII. Set source.csv.encoding to utf-8, or convert the file, as with iconv."
        )


def without_marks(lines: Iterable[str], form: TableFormat, origin: str) -> Iterator[str]:
    """Leave out what is no row at the start of a file: a byte order mark, and `sep=;`, which Excel writes."""
    found = iter(lines)
    first = next(found, "").removeprefix(_MARK)
    if excel := _EXCEL.fullmatch(first):
        if excel[1] != delimiter(form.separator):
            raise DataError(
                f"{origin}: its first line says that the separator is {excel[1]!r}: set source.csv.separator."
            )
        first = "\n"  # a line still
    return chain([first], found)


def with_one_blank(lines: Iterable[str]) -> Iterator[str]:
    """Replace any number of blanks by one; not in quotation marks, also where these are of several lines."""
    inside = False

    def replaced(found: re.Match[str]) -> str:
        nonlocal inside
        if found["blanks"]:
            return " " if found["last"] is None and found.start() else found["last"] or ""
        inside = found["open"] is not None
        return found[0]

    for line in lines:
        start = '"' if inside else ""
        inside = False
        yield _QUOTED_OR_BLANKS.sub(replaced, start + line).removeprefix(start)
