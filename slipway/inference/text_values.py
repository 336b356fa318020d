"""Texts of requests in the form that training has read: trimmed, and null where they are a word for missing values."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain
from operator import itemgetter
from typing import Any

from slipway.contracts.schema import Feature, Schema
from slipway.tables import cells

_HAS_FORMS = re.compile(r"[+-]?\d+(\.0+)?|true|false", re.ASCII | re.I)  # another column may know it in another form


class TextValues:
    """The texts of a schema's rows, which are tuples of the values of `schema.names`.

    Nearly all texts are values of a vocabulary, and are passed over with one comparison.
    """

    def __init__(self, schema: Schema) -> None:
        missing = cells.MISSING | set(schema.table.missing)
        texts = {
            place: schema.by_name[name] for place, name in enumerate(schema.names) if _is_text(schema.by_name[name])
        }
        self._columns = [
            (place, known, cells.converter("category", known=known, missing=missing), feature.nullable)
            for place, feature in texts.items()
            for known in [frozenset(feature.vocabulary or ())]
        ]
        words = {word for _, known, _, _ in self._columns for word in known}
        padded = {word.strip() for word in words if word != word.strip()}
        self._usual = {None, *(word for word in words - padded if _has_one_form(word, missing))}
        self._pick = itemgetter(*texts) if len(texts) > 1 else lambda row: [row[place] for place in texts]

    def normalize(self, rows: list[tuple[Any, ...]]) -> list[int]:
        """Replace the rows that have a text in another form; returns their positions."""
        usual, pick = self._usual, self._pick
        if not self._columns or usual.issuperset(chain.from_iterable(map(pick, rows))):
            return []
        unusual = [position for position, row in enumerate(rows) if not usual.issuperset(pick(row))]
        return [position for position in unusual if self._normalize(rows, position)]

    def _normalize(self, rows: list[tuple[Any, ...]], position: int) -> bool:
        row, changed = rows[position], list(rows[position])
        for place, known, convert, nullable in self._columns:
            value = row[place]
            if isinstance(value, str) and value not in known:
                found = convert(value)
                # a request may not leave it out: the word is an unknown category
                changed[place] = value.strip() if found is None and not nullable else found
        rows[position] = tuple(changed)
        return rows[position] != row


def _is_text(feature: Feature) -> bool:
    if feature.bins or feature.private == "drop":
        return False
    return feature.kind == "category" or feature.private == "token"


def _has_one_form(word: str, missing: Collection[str]) -> bool:
    return word == word.strip() and word not in missing and not _HAS_FORMS.fullmatch(word)
