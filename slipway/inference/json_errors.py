"""Errors of msgspec, whose message may hold a caller's text of any length, split and cut."""

from __future__ import annotations

import codecs
import re

_WRONG = 300  # characters of a message, without its place: more than the longest name of a feature
_LONGEST_PLACE = 400
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PLACE = re.compile(r" - at `\$\.?(.*)`$")


def split_message(message: str) -> tuple[str, str | None]:
    """Split the message of a validation error into what is wrong, cut to 300 characters, and the place.

    >>> split_message("Expected `str`, got `int` - at `$.instances[0].job`")
    ('Expected `str`, got `int`', 'instances[0].job')
    """
    found = _PLACE.search(message[-_LONGEST_PLACE:])
    if found is None:
        return message[:_WRONG], None
    return message[: -len(found.group())][:_WRONG], found.group(1)


def describe_syntax(body: bytes, error: Exception) -> str:
    """Say in a sentence why a body is not JSON; one in UTF-16 or UTF-32 is named as that."""
    if body.startswith(_UTF_16) or b"\0" in body[:4]:
        return "the body is in UTF-16 or UTF-32: JSON is sent in UTF-8."
    return f"the body is not JSON: {error}."
