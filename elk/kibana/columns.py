"""Columns of panels: what rows are grouped by, and what is computed; each as Lens has it and as an aggregation.

Lens's shapes are those of the dashboards in github.com/elastic/integrations, of Kibana 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elk.kibana.conditions import Conditions, kql, query

Json = dict[str, Any]
_RECORDS = "___records___"  # Lens's name for documents, as the source of a count


@dataclass(frozen=True)
class Terms:
    """The most frequent values of a field, each a row; `kind` is `string`, `boolean` or `number`."""

    field: str
    label: str
    size: int = 10
    kind: str = "string"

    def lens(self, orders: str | None) -> Json:
        """Write Lens's column; `orders` is the id of the column by which the values are ordered, None: by name."""
        by = {"type": "column", "columnId": orders} if orders else {"type": "alphabetical", "fallback": True}
        params = {
            "size": self.size,
            "orderBy": by,
            "orderDirection": "desc" if orders else "asc",
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
        }
        return _bucket(self.label, self.kind, "terms", self.field, "ordinal", params)

    def aggregation(self, orders: str | None) -> Json:
        order = {orders: "desc"} if orders else {"_key": "asc"}
        return {"terms": {"field": self.field, "size": self.size, "order": order}}


@dataclass(frozen=True)
class Times:
    """Intervals of time, as wide as the chosen range needs."""

    field: str = "@timestamp"
    label: str = "@timestamp"

    def lens(self, orders: str | None) -> Json:
        params = {"interval": "auto", "includeEmptyRows": True, "dropPartials": False}
        return _bucket(self.label, "date", "date_histogram", self.field, "interval", params)

    def aggregation(self, orders: str | None) -> Json:
        """Write the aggregation with the interval that Kibana chooses for a day."""
        return {"date_histogram": {"field": self.field, "fixed_interval": "30m", "min_doc_count": 0}}


@dataclass(frozen=True)
class Metric:
    """A number: `count`, or of a field its `average`, `sum`, `max`, `unique_count` or `percentile`.

    With `of`, it is of the documents that fulfil these conditions, too.
    """

    label: str
    operation: str = "count"
    field: str = _RECORDS
    of: Conditions = ()
    percent: int = 0

    def lens(self) -> Json:
        params: Json = {"percentile": self.percent} if self.operation == "percentile" else {"emptyAsNull": True}
        column = {
            "label": self.label,
            "customLabel": True,
            "dataType": "number",
            "operationType": self.operation,
            "sourceField": self.field,
            "isBucketed": False,
            "scale": "ratio",
            "params": params,
        }
        return {**column, "filter": {"query": kql(self.of), "language": "kuery"}} if self.of else column

    def aggregation(self) -> Json:
        """Write the aggregation; a count is the number of documents of its filter."""
        if self.operation == "count":
            return {"filter": query(self.of)}
        found = self._of_field()
        return {"filter": query(self.of), "aggs": {"value": found}} if self.of else found

    @property
    def is_order(self) -> bool:
        """Whether values can be ordered by it: Elasticsearch orders by no percentile without naming it again."""
        return self.operation != "percentile"

    def order(self, name: str) -> str:
        """Name what `terms` orders by, if the aggregation has this name."""
        if self.operation == "count" or not self.of:
            return name
        return f"{name}>value"

    def _of_field(self) -> Json:
        if self.operation == "percentile":
            return {"percentiles": {"field": self.field, "percents": [self.percent]}}
        names = {"average": "avg", "unique_count": "cardinality"}
        return {names.get(self.operation, self.operation): {"field": self.field}}


Bucket = Terms | Times


def _bucket(label: str, kind: str, operation: str, field: str, scale: str, params: Json) -> Json:
    return {
        "label": label,
        "customLabel": True,
        "dataType": kind,
        "operationType": operation,
        "sourceField": field,
        "isBucketed": True,
        "scale": scale,
        "params": params,
    }
