"""What a verdict, and what is known of the champion beside it, say for training it again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from monitoring.analysis import verdict
from monitoring.analysis.quality import describe_metrics
from monitoring.retraining.decisions import Decision
from monitoring.retraining.freshness import ChampionFreshness, champion_freshness, count_new_labels
from monitoring.retraining.policy import request_retraining
from slipway.clients.mlflow.registry import Registry
from slipway.errors import RegistryError
from slipway.prediction_log import Log
from slipway.settings import Settings

if TYPE_CHECKING:
    from slipway.config import UseCase

_SECONDS = 5.0


def request_retraining_if_needed(
    found: dict[str, Any], usecase: UseCase, config: Settings, now: datetime
) -> Decision | None:
    """Ask for a training where the monitor has a reason; one ask, whose evidence holds the sentence of every reason.

    Raises:
        ServiceError, OSError: the log's place fails.
    """
    reasons = {**verdict_reasons(found), **champion_reasons(usecase, config, now)}
    if not reasons:
        return None
    listed = [reason for reason in reasons if reason in usecase.retraining.reasons]
    return request_retraining(usecase.name, (listed or list(reasons))[0], "monitor", {"reasons": reasons}, config, now)


def verdict_reasons(found: dict[str, Any]) -> dict[str, str]:
    """A quality that is worse than on the reference, and drift: what was found, by reason."""
    metrics = found["quality"]["metrics"] if found["quality"] else {}
    worse = [name for name, score in metrics.items() if score["worse"]]
    reasons = {"quality": f"Worse than on the reference: {describe_metrics(worse)}."} if worse else {}
    return {**reasons, **({"drift": found["sentence"]} if found["verdict"] == verdict.DRIFT else {})}


def champion_reasons(usecase: UseCase, config: Settings, now: datetime) -> dict[str, str]:
    """Its age, and the labels that came since it was trained, where the use case gives bounds for them.

    A registry that does not answer gives no reason: the next monitor looks again.
    """
    rules = usecase.retraining
    if rules.max_age_days is None and rules.new_labels is None:
        return {}
    try:
        registry = Registry(config.registry_uri, _SECONDS)
        stands = champion_freshness(registry, registry.model(usecase.name))
    except RegistryError:
        return {}
    return _age(rules.max_age_days, stands, now) | _labels(rules.new_labels, stands, usecase, config) if stands else {}


def _age(most: float | None, stands: ChampionFreshness, now: datetime) -> dict[str, str]:
    if most is None or now - stands.cutoff <= timedelta(days=most):
        return {}
    days = (now - stands.cutoff).total_seconds() / 86_400
    return {"age": f"Version {stands.version} was trained {days:,.1f} days ago, more than {most:g}."}


def _labels(enough: int | None, stands: ChampionFreshness, usecase: UseCase, config: Settings) -> dict[str, str]:
    if enough is None or (rows := count_new_labels(Log(config), usecase, stands.cutoff)) < enough:
        return {}
    return {"labels": f"{rows:,} labelled rows are new since version {stands.version} was trained."}
