"""The index that a data stream writes into, and whether the templates of this release made it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.clients.elasticsearch.streams import newest

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

MARK = "slipway_digest"  # in `_meta` of the mappings
_BACKING = ".ds-"


@dataclass(frozen=True)
class WriteIndex:
    """A stream's newest index, with the digest of the templates that made it; none of another's template."""

    name: str
    digest: str | None
    indices: int = 1

    @property
    def is_stream(self) -> bool:
        """Whether it belongs to a data stream; else an index has the stream's name."""
        return self.name.startswith(_BACKING)


def write_index(client: Elasticsearch, stream: str) -> WriteIndex | None:
    """Find it; None where there is no such stream yet."""
    from elasticsearch import NotFoundError

    try:
        found = client.indices.get_mapping(index=stream)
    except NotFoundError:
        return None
    name = newest(found)
    marks: dict[str, Any] = found[name]["mappings"].get("_meta") or {}
    return WriteIndex(name, marks.get(MARK), len(found))


def digest(*parts: Mapping[str, Any]) -> str:
    """The digest of mappings and settings, which changes with any of them."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
