"""Reads tables from files, CSV and Parquet: as rows, or as frames. pandas and pyarrow are imported on first use."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.config.sections import Csv
from slipway.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_UTF8 = ("utf-8", "utf8")


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a CSV file in UTF-8 with a header: for each row its line in the file, and its cells as text.

    Raises:
        DataError: it is not CSV in UTF-8, or a row has not as many cells as the header; names the line.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.DictReader(file, strict=True)
        try:
            for row in lines:
                if None in row or None in row.values():
                    raise DataError(f"{path}:{lines.line_num}: has not as many cells as the first line has names.")
                yield lines.line_num, row
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}:{lines.line_num + 1}: is not UTF-8 text ({error}): convert it first, as with iconv."
            ) from None
        except csv.Error as error:
            raise DataError(f"{path}:{lines.line_num + 1}: is not CSV: {error}.") from None


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a Parquet file: for each row its number from 1, and its values.

    Raises:
        DataError: it is not Parquet.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not Parquet: {_first_line(error)}") from None
    yield from enumerate(table.to_pylist(), start=1)


def csv_frame(
    path: Path,
    options: Csv | None = None,
    *,
    origin: str = "",
    text: type[str] | Mapping[str, type[str]] = str,
    parse_missing: bool = False,
) -> pd.DataFrame:
    """Read a CSV file as a frame.

    Args:
        path: the file.
        options: separator, encoding, header and names of columns; by default a header, commas and UTF-8.
        origin: what messages call the file, for instance its URL.
        text: `str` keeps every cell as the text that it is, a mapping the columns that it names; the types of the
            others are inferred.
        parse_missing: read empty cells and texts as `NA` as missing values.

    Raises:
        DataError: the file is not as the options say; the message names the option of `source.csv`.
        OSError: there is no such file.
    """
    import pandas as pd

    options, origin = options or Csv(), origin or str(path)
    with _csv_errors(options, origin):
        frame = pd.read_csv(
            path,
            sep=options.separator,
            header=0 if options.header else None,
            dtype=text,
            keep_default_na=parse_missing,
            encoding="utf-8-sig" if options.encoding.lower() in _UTF8 else options.encoding,
            index_col=False,
        )
    return _with_names(frame, options, origin)


def parquet_frame(path: Path, origin: str = "") -> pd.DataFrame:
    """Read a Parquet file as a frame.

    Raises:
        DataError: it is not Parquet, or there is no such file.
    """
    import pandas as pd
    import pyarrow

    try:
        return pd.read_parquet(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{origin or path} is not Parquet: {_first_line(error)}") from None


@contextmanager
def _csv_errors(options: Csv, origin: str) -> Iterator[None]:
    """Raise what pandas refuses as a DataError that names the option of `source.csv` to change."""
    import pandas as pd

    try:
        yield
    except UnicodeError as error:
        raise DataError(
            f"{origin} is not {options.encoding}: {error}. Set source.csv.encoding to the file's encoding, "
            "for instance latin-1, cp1252 or utf-16."
        ) from None
    except LookupError as error:
        raise DataError(f"source.csv.encoding: {error}. Use utf-8, latin-1, cp1252, utf-16, …") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{origin} is empty. A header and rows are needed.") from None
    except pd.errors.ParserError as error:
        raise DataError(
            f"{origin} is not CSV with the separator {options.separator!r}: {error}. Set source.csv.separator."
        ) from None


def _with_names(frame: pd.DataFrame, options: Csv, origin: str) -> pd.DataFrame:
    if not options.columns:
        return frame
    if len(options.columns) != frame.shape[1]:
        raise DataError(
            f"{origin} has {frame.shape[1]} columns, and source.csv.columns names {len(options.columns)}. "
            f"Is source.csv.separator {options.separator!r} right?"
        )
    return frame.set_axis(options.columns, axis=1)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
