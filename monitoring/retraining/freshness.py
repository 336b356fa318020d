"""Freshness of a champion: the cutoff of its training data, and the number of new labels since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel, Registry
from slipway.contracts.registry_names import CHAMPION, CUTOFF
from slipway.timestamps import from_ms, parse

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.config import UseCase
    from slipway.prediction_log import Log


@dataclass(frozen=True)
class ChampionFreshness:
    """A champion and its cutoff: the time when its training read the log, which had no later events."""

    version: str
    cutoff: datetime


def champion_freshness(registry: Registry, model: RegisteredModel) -> ChampionFreshness | None:
    """Get the freshness of the champion; None without one. Raises RegistryError."""
    number = model.aliases.get(CHAMPION)
    return None if number is None else ChampionFreshness(number, _cutoff(registry.version(model.name, number)))


def count_new_labels(log: Log, usecase: UseCase, since: datetime | None) -> int:
    """Count the predictions that have a label now and had none at `since`, or were not made yet.

    The time of a label is when it was sent, not `known_at`, which its sender states.
    """
    classes = usecase.target.classes or None
    before = _count(log.labelled(usecase.name, until=since, labels=classes, sent_until=since)) if since else 0
    now = _count(log.labelled(usecase.name, labels=classes))  # last, for what it leaves out is all that is left out
    return max(now - before, 0)


def _count(relation: DuckDBPyRelation) -> int:
    return relation.aggregate("count(*)").fetchall()[0][0]


def _cutoff(version: ModelVersion) -> datetime:
    """Cutoff from the version's tag, else the time of its registration, when its training ended."""
    try:
        return parse(version.tags[CUTOFF])
    except (KeyError, ValueError):
        return from_ms(version.created_ms)
