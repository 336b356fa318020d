"""Panels: what each shows, of which documents, grouped and computed how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from elk.kibana.columns import Bucket, Metric
from elk.kibana.conditions import Conditions, query
from elk.kibana.data_views import DataView

Kind = Literal["figure", "line", "bar", "area", "table"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """A panel; on a chart the first of `by` is the horizontal axis, and a second one splits it into series.

    `width` is in columns of 48. `may_be_empty` says why a sound system has nothing to show there.
    """

    title: str
    about: str
    kind: Kind
    view: DataView
    metrics: tuple[Metric, ...]
    by: tuple[Bucket, ...] = ()
    of: Conditions = ()
    width: int = 24
    height: int = 12
    may_be_empty: str = ""

    @property
    def description(self) -> str:
        return f"{self.about} Empty: {self.may_be_empty}." if self.may_be_empty else self.about

    def column_ids(self) -> list[str]:
        """Name the columns, buckets before metrics, as Lens orders them."""
        return [f"bucket{number}" for number in range(len(self.by))] + self.metric_ids()

    def metric_ids(self) -> list[str]:
        return [f"metric{number}" for number in range(len(self.metrics))]

    def order(self) -> str | None:
        """Name the metric by which values are ordered, if there is one."""
        return next((f"metric{number}" for number, each in enumerate(self.metrics) if each.is_order), None)

    def search(self, *conditions: Json) -> Json:
        """Write the search that the panel is: its query, with these conditions, and its aggregations, nested.

        Every level has the metrics, since that of its values' order must be there.
        """
        metrics: Json = {
            name: metric.aggregation() for name, metric in zip(self.metric_ids(), self.metrics, strict=True)
        }
        first = self.order()
        orders = None if first is None else self.metrics[self.metric_ids().index(first)].order(first)
        aggregations = metrics
        for number, bucket in reversed(list(enumerate(self.by))):
            aggregations = {f"bucket{number}": {**bucket.aggregation(orders), "aggs": {**metrics, **aggregations}}}
        return {"size": 0, "query": {"bool": {"filter": [query(self.of), *conditions]}}, "aggs": aggregations}


@dataclass(frozen=True)
class SearchPanel:
    """A saved search as a panel: its newest documents, as rows."""

    search_id: str
    title: str
    width: int = 48
    height: int = 16


@dataclass(frozen=True)
class Dashboard:
    """A dashboard: its panels in reading order; `controls` are fields whose values a reader chooses at its top."""

    id: str
    title: str
    about: str
    panels: tuple[Panel | SearchPanel, ...]
    controls: tuple[tuple[str, str, DataView], ...] = ()
    of: Conditions = ()
    period: str = "now-24h"
