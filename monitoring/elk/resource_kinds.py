"""The kinds of resources that setup installs, each with how it is read, written and compared.

Elasticsearch answers more than it was sent, such as dates and defaults. So a comparison looks at the parts that are
wanted; within these, mappings, settings, phases and processors are compared whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

Body = dict[str, Any]
MANAGED = {"managed_by": "slipway"}


@dataclass(frozen=True)
class Kind:
    """A kind of resource: `read` returns a body as `write` takes it, `marks` finds who manages it in such a body."""

    name: str
    read: Callable[[Elasticsearch, str], Body]
    write: Callable[[Elasticsearch, str, Body], object]
    marks: Callable[[Body], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Resource:
    """A named resource with the body that it has to have."""

    kind: Kind
    name: str
    body: Body

    def found(self, client: Elasticsearch) -> Body | None:
        """What the server has under this name; None if nothing."""
        from elasticsearch import NotFoundError

        try:
            return self.kind.read(client, self.name)
        except NotFoundError:
            return None

    def write(self, client: Elasticsearch) -> None:
        self.kind.write(client, self.name, dict(self.body))


def _lifecycle(client: Elasticsearch, name: str) -> Body:
    return {"policy": client.ilm.get_lifecycle(name=name)[name]["policy"]}


def _component(client: Elasticsearch, name: str) -> Body:
    found = client.cluster.get_component_template(name=name, flat_settings=True)
    return dict(found["component_templates"][0]["component_template"])


def _index_template(client: Elasticsearch, name: str) -> Body:
    found = client.indices.get_index_template(name=name, flat_settings=True)
    return dict(found["index_templates"][0]["index_template"])


LIFECYCLE = Kind(
    "lifecycle policy",
    _lifecycle,
    lambda client, name, body: client.ilm.put_lifecycle(name=name, body=body),
    lambda body: body["policy"].get("_meta"),
)
PIPELINE = Kind(
    "ingest pipeline",
    lambda client, name: dict(client.ingest.get_pipeline(id=name)[name]),
    lambda client, name, body: client.ingest.put_pipeline(id=name, body=body),
    lambda body: body.get("_meta"),
)
COMPONENT = Kind(
    "component template",
    _component,
    lambda client, name, body: client.cluster.put_component_template(name=name, body=body),
    lambda body: body.get("_meta"),
)
INDEX_TEMPLATE = Kind(
    "index template",
    _index_template,
    lambda client, name, body: client.indices.put_index_template(name=name, body=body),
    lambda body: body.get("_meta"),
)
ROLE = Kind(
    "role",
    lambda client, name: dict(client.security.get_role(name=name)[name]),
    lambda client, name, body: client.security.put_role(name=name, body=body),
    lambda body: body.get("metadata"),
)


# at these levels, as at the top, a server adds keys of its own
_OPEN = ("policy", "template", "data_stream")


def as_wanted(found: Body, wanted: Body) -> Body:
    """Leave out the keys of a found body that only the server adds."""
    return {
        key: as_wanted(found[key], value) if key in _OPEN else found[key]
        for key, value in wanted.items()
        if key in found
    }
