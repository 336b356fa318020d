"""Base64 as clients write it: with line breaks, as a data URI, without padding, or in the alphabet of URLs."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from slipway.errors import InputError

NOT_BASE64 = "Invalid base64 encoded string"  # msgspec's words for anything but RFC 4648, section 4
_DATA_URI = re.compile(r"\s*data:[^,]{0,200};base64,", re.IGNORECASE)
_LOST_PLUS = re.compile(r"[A-Za-z0-9+/_-] +[A-Za-z0-9+/_-]")
_BLANKS = str.maketrans("", "", " \t\r\n")
_URL_ALPHABET = str.maketrans("-_", "+/")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/]")
_ADVICE = "Send the image file as `base64 FILE` prints it."


def standard_body(body: bytes) -> bytes:
    """Rewrite a request's body, its images in standard base64; one that cannot be read stays as it is.

    Raises:
        InputError: a text is no base64.
    """
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
        rows = msgspec.convert(document.get("instances"), list[Any])
        return msgspec.json.encode({**document, "instances": standard_rows(rows)})
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return body


def standard_rows(rows: list[Any]) -> list[Any]:
    """Rewrite rows, their images in standard base64. Raises InputError where a text is no base64."""
    return [_standard_row(row, f"instances[{position}]") for position, row in enumerate(rows)]


def standard(text: str) -> str:
    """Rewrite a text in standard base64.

    Raises:
        InputError: a character is no part of base64 or was lost, or the text is cut short.

    >>> standard("data:image/png;base64,iVB_\\nRw")
    'iVB/Rw=='
    """
    prefix = _DATA_URI.match(text)
    if _LOST_PLUS.search(text, prefix.end() if prefix else 0):
        raise InputError(f"the base64 has a blank within a line: a form makes one of each `+`. {_ADVICE}")
    bare = text[prefix.end() if prefix else 0 :].translate(_BLANKS).translate(_URL_ALPHABET).rstrip("=")
    if foreign := _FOREIGN.search(bare):
        raise InputError(f"{foreign.group()!r} is no character of base64. {_ADVICE}")
    if len(bare) % 4 == 1:
        raise InputError(
            f"the base64 is cut short: it has {len(bare)} characters, a multiple of 4 and one more. {_ADVICE}"
        )
    return bare + "=" * (-len(bare) % 4)


def _standard_row(row: Any, place: str) -> Any:
    if isinstance(row, list):
        return [_standard_value(value, f"{place}[{position}]") for position, value in enumerate(row)]
    if isinstance(row, dict):
        return {name: _standard_value(value, f"{place}.{name}") for name, value in row.items()}
    return row


def _standard_value(value: Any, place: str) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("b64"), str):
        return value
    try:
        return {**value, "b64": standard(value["b64"])}
    except InputError as error:
        raise InputError(str(error), f"{place}.b64") from None
