"""Published rows: those of a bundle's probe, the first of which are the examples of schema, page and `curl`.

A request that is marked as a test counts as one only if its rows are published, so no caller can keep predictions of
its own out of the evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipway.contracts.schema import Schema
from slipway.inference.instance_parser import Request, picker


class PublishedRows:
    """The parsed rows of a probe. Of a value that is replaced by a token, only the token is published: what a row has
    there is not compared."""

    def __init__(self, schema: Schema, rows: Sequence[Mapping[str, Any]]) -> None:
        self._tokens = {feature.name for feature in schema.features if feature.private == "token"}
        self._rows = rows
        self._known: dict[tuple[str, ...], frozenset[tuple[Any, ...]]] = {}

    def include(self, request: Request) -> bool:
        """Tell whether every row of the request is published; its features may be those of another version."""
        compared = [position for position, name in enumerate(request.names) if name not in self._tokens]
        pick, known = picker(compared), self._of_features(tuple(request.names[position] for position in compared))
        return all(pick(row) in known for row in request.values)

    def _of_features(self, names: tuple[str, ...]) -> frozenset[tuple[Any, ...]]:
        if names not in self._known:
            self._known[names] = frozenset(tuple(map(row.get, names)) for row in self._rows)
        return self._known[names]
