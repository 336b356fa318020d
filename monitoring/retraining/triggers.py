"""Triggers of retraining: the reasons in a verdict, and in the age and the new labels of the champion."""

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
    """Request a training if there is a reason: one request, whose evidence has the sentence of every reason.

    A verdict on a bundle that was replaced or deleted by now is no reason, and gets a note that says so.

    Raises:
        ServiceError, OSError: the log fails.
    """
    reasons = verdict_reasons(found)
    if reasons and (now_aliased := _replacement(found, usecase, config)):
        found["notes"].append(
            f"Version {found['version']} (bundle {found['bundle_sha256'][:12]}) made the latest predictions, and "
            f"{config.follow_alias} is version {now_aliased} by now: this verdict is no reason to train."
        )
        reasons = {}
    reasons |= champion_reasons(usecase, config, now)
    if not reasons:
        return None
    listed = [reason for reason in reasons if reason in usecase.retraining.reasons]
    return request_retraining(usecase.name, (listed or list(reasons))[0], "monitor", {"reasons": reasons}, config, now)


def _replacement(found: dict[str, Any], usecase: UseCase, config: Settings) -> str | None:
    """The version that is followed by now, where its bundle is another one than the verdict's; None if not known."""
    try:
        aliased = Registry(config.registry_uri, _SECONDS).aliased(usecase.name, config.follow_alias)
    except RegistryError:
        return None
    return aliased.version if aliased and aliased.digest != found["bundle_sha256"] else None


def verdict_reasons(found: dict[str, Any]) -> dict[str, str]:
    """Reasons in a verdict: quality that is worse than on the reference, and drift."""
    metrics = found["quality"]["metrics"] if found["quality"] else {}
    worse = [name for name, score in metrics.items() if score["worse"]]
    reasons = {"quality": f"Worse than on the reference: {describe_metrics(worse)}."} if worse else {}
    return {**reasons, **({"drift": found["sentence"]} if found["verdict"] == verdict.DRIFT else {})}


def champion_reasons(usecase: UseCase, config: Settings, now: datetime) -> dict[str, str]:
    """Reasons of the champion: its age and the new labels since its training, if the use case has bounds for them.

    A registry that does not respond gives no reason: the next monitoring run tries again.
    """
    rules = usecase.retraining
    if rules.max_age_days is None and rules.new_labels is None:
        return {}
    try:
        registry = Registry(config.registry_uri, _SECONDS)
        fresh = champion_freshness(registry, registry.model(usecase.name))
    except RegistryError:
        return {}
    return _age(rules.max_age_days, fresh, now) | _labels(rules.new_labels, fresh, usecase, config) if fresh else {}


def _age(most: float | None, fresh: ChampionFreshness, now: datetime) -> dict[str, str]:
    if most is None or now - fresh.cutoff <= timedelta(days=most):
        return {}
    days = (now - fresh.cutoff).total_seconds() / 86_400
    return {"age": f"Version {fresh.version} was trained {days:,.1f} days ago, more than {most:g}."}


def _labels(enough: int | None, fresh: ChampionFreshness, usecase: UseCase, config: Settings) -> dict[str, str]:
    if enough is None or (rows := count_new_labels(Log(config), usecase, fresh.cutoff)) < enough:
        return {}
    return {"labels": f"{rows:,} labelled rows are new since version {fresh.version} was trained."}
