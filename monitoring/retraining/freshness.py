"""How fresh a champion is: when its training data ended, and how many labels have come since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel, Registry
from slipway.contracts.registry_names import CHAMPION

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from slipway.config import UseCase
    from slipway.prediction_log import Log

CUTOFF = "slipway.cutoff"


@dataclass(frozen=True)
class ChampionFreshness:
    """`cutoff` is when its training began to read the log: what came later, it has not seen."""

    version: str
    cutoff: datetime


def champion(registry: Registry, model: RegisteredModel) -> ChampionFreshness | None:
    """None where the model has no champion. Raises RegistryError."""
    number = model.aliases.get(CHAMPION)
    return None if number is None else ChampionFreshness(number, _cutoff(registry.version(model.name, number)))


def new_labels(log: Log, usecase: UseCase, since: datetime | None) -> int:
    """How many answered predictions have a label by now that had none, or were not made yet, at `since`.

    It goes by when a label was sent, which we know, not by when its caller says that it was known.
    """
    classes = usecase.target.classes or None
    now = _count(log.labelled(usecase.name, labels=classes))
    before = _count(log.labelled(usecase.name, until=since, labels=classes, sent_until=since)) if since else 0
    return max(now - before, 0)


def _count(relation: DuckDBPyRelation) -> int:
    return relation.aggregate("count(*)").fetchall()[0][0]


def _cutoff(version: ModelVersion) -> datetime:
    """Its tag; a version of an older release has none, and was made when its training ended."""
    try:
        return datetime.fromisoformat(version.tags[CUTOFF]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.fromtimestamp(version.created_ms / 1000, UTC)
