"""Errors of msgspec, whose message may hold a caller's text of any length, split and cut."""

from __future__ import annotations

import re

_WRONG = 200  # characters of a message, without its place
_LONGEST_PLACE = 400
_PLACE = re.compile(r" - at `\$\.?(.*)`$")


def split_message(message: str) -> tuple[str, str | None]:
    """Split the message of a validation error into what is wrong, cut to 200 characters, and the place.

    >>> split_message("Expected `str`, got `int` - at `$.instances[0].job`")
    ('Expected `str`, got `int`', 'instances[0].job')
    """
    found = _PLACE.search(message[-_LONGEST_PLACE:])
    if found is None:
        return message[:_WRONG], None
    return message[: -len(found.group())][:_WRONG], found.group(1)
