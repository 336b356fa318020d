"""Names that Slipway reads and writes in MLflow: aliases, tags and experiments (docs/reference/registry-names.md)."""

from __future__ import annotations

from collections.abc import Iterable

# Aliases of a registered model.
CHAMPION = "champion"  # the version that production serves
CHALLENGER = "challenger"  # the newest version that passed its gates; staging serves it
SHADOW = "shadow"  # a version that gets a copy of the requests
CANARY = "canary"  # a version that answers a share of the requests
ALIASES = (CHAMPION, CHALLENGER, SHADOW, CANARY)

# Tags of a model version, written by training.
RUN_KEY = "slipway.run_key"  # the run's fingerprint: a run registers once
GATE = "slipway.gate"  # `passed` or `failed`; for people, since servers read the result in the bundle
GATE_REASON = "slipway.gate_reason"  # the gates that failed, and why
GATE_WAIVED = "slipway.gate_waived"  # the gates that were waived, and why
DATA_SHA256 = "slipway.data_sha256"  # digest of the data snapshot
BUNDLE_SHA256 = "slipway.bundle_sha256"  # the bundle's digest
GIT_COMMIT = "slipway.git_commit"  # commit of the code
CUTOFF = "slipway.cutoff"  # the moment until which the training read the prediction log
SYNTHETIC = "slipway.synthetic"  # `true` if the data was generated; of a run of a verdict, too

# Tags of a model version, written after training.
OVERRIDE = "slipway.override"  # `WHO: WHY`, a person who overrides failed gates
REFUSED = "slipway.refused"  # the reason; servers reject the version until a person removes the tag
FIRST_WEIGHT = "slipway.canary_weight"  # percent of requests with which the version's rollout begins

# Tags of a registered model.
HOLDOUT_SHA256 = "slipway.holdout_sha256"  # digest of the frozen holdout
ROLLOUT = "slipway.canary"  # state of the rollout, JSON
RETRAINING = "slipway.retraining"  # `paused` or `paused: WHO: WHY`

# Tags of a run: PRODUCTION_ROWS of a training, the others of a verdict.
PRODUCTION_ROWS = "slipway.production_rows"  # how many labelled production rows the training used
VERDICT = "slipway.verdict"  # `none`, `drift` or `too_little_data`
ENVIRONMENT = "slipway.environment"  # the environment whose prediction log was analyzed
MODEL_VERSION = "slipway.model_version"  # the version that was watched

PREFIX = "slipway."  # of every tag that Slipway writes
SERVING_PREFIX = "slipway.serving."  # of the tags that `serving_tag` names


def lookalikes(aliases: Iterable[str], followed: str = CHAMPION) -> dict[str, str]:
    """Find aliases that differ in case only from one of Slipway's, or from the one that servers follow, by that.

    >>> lookalikes(["champion", "Champion", "best"])
    {'Champion': 'champion'}
    """
    own = {alias.lower(): alias for alias in (*ALIASES, followed)}
    return {alias: own[alias.lower()] for alias in sorted(aliases) if own.get(alias.lower(), alias) != alias}


def describe_lookalikes(aliases: Iterable[str], followed: str) -> list[str]:
    """Say of each such alias what it does not do, and what to do."""
    return [
        f"the alias {alias} is not {own}: nothing follows it. Set {own}, or remove {alias}."
        for alias, own in lookalikes(aliases, followed).items()
    ]


def serving_tag(environment: str) -> str:
    """Name the version's tag that holds what the servers of an environment did with it, and why."""
    return SERVING_PREFIX + environment


def monitor_experiment(usecase: str) -> str:
    """Name the experiment that has one run per verdict."""
    return f"monitor/{usecase}"
