"""Elasticsearch without a network: the real client, whose node is a dictionary, with faults on demand.

It knows what the shipper uses: bulks of `create`, refresh, a stream's indices, and searches for ids or for a use case's
events of a time; a stream has several indices, and an id is unique in the newest one only.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from elastic_transport import (
    ApiResponseMeta,
    BaseNode,
    ConnectionError,
    ConnectionTimeout,
    HttpHeaders,
)
from elastic_transport._node import NodeApiResponse
from elasticsearch import Elasticsearch

from slipway.clients.elasticsearch.connection import api_key
from slipway.settings import Settings
from slipway.timestamps import parse

JSON = {"content-type": "application/json", "x-elastic-product": "Elasticsearch"}


@dataclass
class Response:
    status: int
    content: bytes
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))


Documents = list[tuple[str, bytes]]
Fault = Callable[["ElasticsearchDouble", str, Documents], Response]


class ElasticsearchDouble:
    """`faults` are used up by the next bulks, one each; `refuses` are ids of documents that no bulk gets in."""

    def __init__(self) -> None:
        self.streams: dict[str, list[dict[str, bytes]]] = {}
        self.faults: list[Fault] = []
        self.refuses: set[str] = set()
        self.most_bytes = 100 << 20
        self.key: str | None = None  # the only one that is accepted
        self.bulks: list[list[str]] = []
        self.questions: list[set[str]] = []
        self.on_request: Callable[[str], None] = lambda when: None
        self._one_at_a_time = threading.Lock()

    def client(self, settings: Settings | None = None) -> Elasticsearch:
        double, key = self, api_key(settings) if settings else ""

        class Node(BaseNode):
            def perform_request(self, method: str, target: str, body: bytes | None = None, *_: Any, **__: Any) -> Any:
                with double._one_at_a_time:
                    double.on_request("before")
                    is_known = double.key in (None, key)
                    response = double._respond(target, body or b"") if is_known else wrong_key(double, "", [])
                    double.on_request("after")
                meta = ApiResponseMeta(response.status, "1.1", HttpHeaders(response.headers), 0.0, self.config)
                return NodeApiResponse(meta, response.content)

            def close(self) -> None:
                pass

        client = Elasticsearch("http://elasticsearch.test:9200", node_class=Node)
        return client.options(max_retries=0, retry_on_status=())

    def roll_over(self) -> None:
        for indices in self.streams.values():
            indices.append({})

    def ids(self, stream: str) -> Counter[str]:
        """How often each id is in the stream."""
        return Counter(id for index in self.streams.get(stream, []) for id in index)

    def store(self, stream: str, documents: Documents) -> list[dict[str, Any]]:
        """Create the documents, and return the items of the response."""
        newest = self.streams.setdefault(stream, [{}])[-1]
        items = []
        for id, line in documents:
            if id in self.refuses:
                items.append(item(id, 400, "document_parsing_exception", "failed to parse field [slipway.score]"))
            elif id in newest:
                items.append(item(id, 409, "version_conflict_engine_exception", "document already exists"))
            else:
                newest[id] = line
                items.append(item(id, 201))
        return items

    def _respond(self, target: str, body: bytes) -> Response:
        _, stream, endpoint, *_ = urlsplit(target).path.split("/")
        if endpoint == "_bulk":
            return self._bulk(stream, body)
        if stream not in self.streams:
            return json_response({"error": {"type": "index_not_found_exception", "reason": "no such index"}}, 404)
        if endpoint == "_refresh":
            return json_response({"_shards": {"total": 1, "successful": 1, "failed": 0}})
        if endpoint == "_settings":
            indices = (f".ds-{stream}-{number:06}" for number, _ in enumerate(self.streams[stream], 1))
            return json_response({index: {"settings": {}} for index in indices})
        return self._search(stream, json.loads(body))

    def _bulk(self, stream: str, body: bytes) -> Response:
        if len(body) > self.most_bytes:
            return Response(413, b"<html>413 Request Entity Too Large</html>", {"content-type": "text/html"})
        lines = body.splitlines()
        documents = [
            (json.loads(action)["create"]["_id"], line) for action, line in zip(lines[::2], lines[1::2], strict=True)
        ]
        self.bulks.append([id for id, _ in documents])
        if self.faults:
            return self.faults.pop(0)(self, stream, documents)
        return no_fault(self, stream, documents)

    def _search(self, stream: str, search: dict[str, Any]) -> Response:
        if "bool" in search["query"]:
            return self._search_time(stream, *search["query"]["bool"]["filter"])
        wanted = set(search["query"]["ids"]["values"])
        self.questions.append(wanted)
        hits = [{"_id": id} for index in self.streams[stream] for id in index if id in wanted][: search["size"]]
        return _found(hits)

    def _search_time(self, stream: str, usecase: dict[str, Any], time: dict[str, Any]) -> Response:
        name, window = usecase["term"]["slipway.usecase"], time["range"]["@timestamp"]
        hits = [
            {"_id": id}
            for index in self.streams[stream]
            for id, line in index.items()
            if (event := json.loads(line)).get("slipway", {}).get("usecase") == name
            and parse(window["gte"]) <= parse(event["@timestamp"]) <= parse(window["lte"])
        ]
        return _found(hits)


def _found(hits: list[dict[str, str]]) -> Response:
    return json_response({"timed_out": False, **({"hits": {"hits": hits}} if hits else {})})


def item(id: str, status: int, kind: str = "", reason: str = "") -> dict[str, Any]:
    return {"create": {"_id": id, "status": status, **({"error": {"type": kind, "reason": reason}} if kind else {})}}


def all_answered(documents: Documents, status: int, kind: str, reason: str) -> list[dict[str, Any]]:
    return [item(id, status, kind, reason) for id, _ in documents]


def json_response(body: dict[str, Any], status: int = 200, **headers: str) -> Response:
    return Response(status, json.dumps(body).encode(), JSON | headers)


def no_fault(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    return json_response({"items": double.store(stream, documents)})


def half_response(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    """Everything is written, and half of it is answered for."""
    return json_response({"items": double.store(stream, documents)[: len(documents) // 2]})


def other_order(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    """The first document is refused, and the items are turned around: by position, the last one would be refused."""
    written = double.store(stream, documents[1:])
    refused = all_answered(documents[:1], 400, "document_parsing_exception", "failed to parse")
    return json_response({"items": [*refused, *written][::-1]})


def other_documents(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    """A cache answers: with the items of another bulk, and nothing is written."""
    return json_response({"items": [item(f"other-{number}", 201) for number, _ in enumerate(documents)]})


def no_status(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    """Nothing is written, and the items say nothing about it."""
    return json_response({"items": [{"create": {"_id": id}} for id, _ in documents]})


def status_200(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    """Nothing is written; what is created has 201."""
    return json_response({"items": [item(id, 200) for id, _ in documents]})


def no_items(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    return json_response({"items": ["created"] * len(documents)})


def login_page(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    headers = {"content-type": "text/html", "location": "https://login.test/?next=/_bulk"}
    return Response(302, b"<html>Found</html>", headers)


def cut_response(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    """Everything is written, and the response ends in the middle."""
    return Response(200, json_response({"items": double.store(stream, documents)}).content[:-9])


def lost_response(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    double.store(stream, documents)
    raise ConnectionTimeout("timed out")


def no_connection(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    raise ConnectionError("connection refused")


def half_busy(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    """The first half is written; there is no room for the second."""
    middle = len(documents) // 2
    busy = all_answered(documents[middle:], 429, "es_rejected_execution_exception", "rejected execution")
    return json_response({"items": double.store(stream, documents[:middle]) + busy})


def busy(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    error = {"type": "es_rejected_execution_exception", "reason": "rejected execution of coordinating operation"}
    return json_response({"error": error}, 429, **{"retry-after": "7"})


def read_only(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    reason = "index [x] blocked by: [FORBIDDEN/8/index write (api)]"
    return json_response({"items": all_answered(documents, 403, "cluster_block_exception", reason)})


def no_template(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    reason = "no such index and [require_data_stream] request is [true]"
    return json_response({"items": all_answered(documents, 404, "index_not_found_exception", reason)})


def too_many_shards(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    reason = "this action would add [2] shards, but this cluster has [1000]/[1000]"
    return json_response({"items": all_answered(documents, 400, "validation_exception", reason)})


def wrong_key(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    return json_response({"error": {"type": "security_exception", "reason": "unable to authenticate"}}, 401)


def html(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    return Response(200, b"<html>Please sign in</html>", {"content-type": "text/html"})


def bad_gateway(double: ElasticsearchDouble, stream: str, documents: Documents) -> Response:
    """A proxy gives up on a bulk that is written all the same."""
    double.store(stream, documents)
    return Response(502, b"<html>502 Bad Gateway</html>", {"content-type": "text/html"})
