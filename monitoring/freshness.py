"""How fresh a champion is: when its training data ended, and how many labels have come since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.prediction_log import Log
from slipway.prediction_log.lines import literal
from slipway.registry import CHAMPION, ModelVersion, RegisteredModel, Registry

if TYPE_CHECKING:
    from slipway.usecase import UseCase

CUTOFF = "slipway.cutoff"


@dataclass(frozen=True)
class Champion:
    """`cutoff` is when its training began to read the log: what came later, it has not seen."""

    version: str
    cutoff: datetime


def champion(registry: Registry, model: RegisteredModel) -> Champion | None:
    """None where the model has no champion. Raises RegistryError."""
    number = model.aliases.get(CHAMPION)
    return None if number is None else Champion(number, _cutoff(registry.version(model.name, number)))


def new_labels(log: Log, usecase: UseCase, since: datetime | None) -> int:
    """How many answered predictions have a label, and were made or became known after `since`."""
    labelled = log.labelled(usecase.name, labels=usecase.target.classes or None)
    if since:
        moment = f"TIMESTAMPTZ {literal(since.isoformat())}"
        labelled = labelled.filter(f'"@timestamp" >= {moment} OR known_at >= {moment}')
    return labelled.aggregate("count(*)").fetchall()[0][0]


def _cutoff(version: ModelVersion) -> datetime:
    """Its tag; a version of an older release has none, and was made when its training ended."""
    try:
        return datetime.fromisoformat(version.tags[CUTOFF]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.fromtimestamp(version.created_ms / 1000, UTC)
