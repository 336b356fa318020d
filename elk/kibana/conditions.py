"""Conditions on fields, as KQL for Kibana and as a query of Elasticsearch, so that both ask for the same documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Condition:
    """A field has one of the values, or any where none is given; `negated`: it has not."""

    field: str
    values: tuple[str | bool, ...] = ()
    negated: bool = False

    def kql(self) -> str:
        """Write the condition for Kibana.

        >>> Condition("log.level", ("error", "critical")).kql(), Condition("error.type", negated=True).kql()
        ('log.level : ("error" or "critical")', 'not error.type : *')
        """
        texts = [str(value).lower() if isinstance(value, bool) else f'"{value}"' for value in self.values] or ["*"]
        wanted = texts[0] if len(texts) == 1 else f"({' or '.join(texts)})"
        return f"{'not ' if self.negated else ''}{self.field} : {wanted}"

    def query(self) -> dict[str, Any]:
        """Write the condition for Elasticsearch."""
        found = {"terms": {self.field: list(self.values)}} if self.values else {"exists": {"field": self.field}}
        return {"bool": {"must_not": [found]}} if self.negated else found


Conditions = tuple[Condition, ...]


def has(field: str, *values: str | bool) -> Condition:
    return Condition(field, values)


def lacks(field: str, *values: str | bool) -> Condition:
    return Condition(field, values, negated=True)


def kql(conditions: Conditions) -> str:
    """Write KQL for all of the conditions; "" without any."""
    return " and ".join(condition.kql() for condition in conditions)


def query(conditions: Conditions) -> dict[str, Any]:
    """Write the query for all of the conditions."""
    if not conditions:
        return {"match_all": {}}
    return {"bool": {"filter": [condition.query() for condition in conditions]}}
