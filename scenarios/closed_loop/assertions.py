"""Checks of what each stage of the closed loop leaves in verdicts, registry, prediction log and audit."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.closed_loop.observer import STAGE, Observer
from scenarios.harness.checks import Check
from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import FlowRun
from slipway.contracts.bundle import gate_report
from slipway.contracts.registry_names import CANARY, CHAMPION, REFUSED
from slipway.settings import settings

if TYPE_CHECKING:
    from scenarios.closed_loop.simulated_callers import SimulatedCallers
    from slipway.prediction_log import Log

MIN_LABELS = 300
MAX_FAULTY_SHARE = 0.05
FOLLOW_SECONDS = 4.0  # a follower polls every two seconds, a worker four times a second
_SHARE_TOLERANCE = 0.05
# Audit actions that the history must have in this order; others may lie between them.
EXPECTED_ACTIONS = (
    "promoted",
    "retraining.refused",
    "retraining.started",
    "gate.waived",
    "canary.began",
    "canary.advanced",
    "canary.finished",
    "canary.began",
    "canary.rolled_back",
)
OVERRIDDEN = "overridden"  # anywhere: the rollout, which sees the alias, may write its line before the command


def is_worse(verdict: Mapping[str, Any]) -> bool:
    """Tell whether a metric of the verdict is worse than on the reference."""
    return any(metric["worse"] for metric in _metrics(verdict).values())


def has_labels(verdict: Mapping[str, Any]) -> bool:
    """Tell whether the verdict's window has enough labels."""
    return ((verdict["quality"] or {}).get("labelled") or 0) >= MIN_LABELS


def check_healthy(name: str, verdict: Mapping[str, Any], when: str) -> Check:
    """Check that no feature drifts and that the quality is as on the reference."""
    held = verdict["verdict"] == "none" and bool(_metrics(verdict)) and not is_worse(verdict)
    return Check(name, f"healthy {when}", held, f"verdict {verdict['verdict']}, {_auc(verdict)}")


def check_drift_detected(name: str, verdict: Mapping[str, Any]) -> Check:
    """Check that the verdict detects the concept drift by the quality."""
    drifted = f", drift in {', '.join(verdict['drifted'])}" if verdict["drifted"] else ", no feature drifts"
    return Check(name, "concept drift detected", is_worse(verdict), f"{_auc(verdict)}{drifted}")


def check_retraining_refused(name: str, verdict: Mapping[str, Any], min_rows: int) -> Check:
    """Check that the policy refused a retraining since there are fewer labelled rows than `min_rows`."""
    decision = verdict.get("retraining") or {}
    held = decision.get("outcome") == "refused" and str(min_rows) in decision.get("reason", "").replace(",", "")
    return Check(name, "early retraining refused", held, decision.get("reason", "no decision"))


def check_one_run(name: str, runs: Sequence[FlowRun]) -> Check:
    """Check that many requests started one training run."""
    return Check(name, "one run for all requests", len(runs) == 1, f"{len(runs)} flow runs since the change")


def check_decision_recorded(name: str, verdict: Mapping[str, Any]) -> Check:
    """Check that the last verdict has the decision on its retraining request."""
    decision = verdict.get("retraining") or {}
    observed = f"{decision.get('outcome', 'no decision')}: {decision.get('reason', '')}"
    return Check(name, "the decision is in the verdict", "outcome" in decision, observed)


def check_gates_waived(name: str, version: str) -> Check:
    """Check that the gates passed on the newest window, and that the waived gates of the old holdout are recorded."""
    registry = Registry()
    with tempfile.TemporaryDirectory() as folder:
        registry.fetch_bundle(registry.version(name, version), Path(folder))
        report = gate_report.read_gate_report(Path(folder))
    gates = {gate.name: gate.verdict for gate in report.gates}
    waivers = [gate for gate, verdict in gates.items() if verdict == "waived"]
    held = report.passed and gates.get("window") == "passed" and bool(waivers)
    observed = f"window {gates.get('window', 'not evaluated')}; waived: {', '.join(waivers) or 'nothing'}"
    return Check(name, f"version {version} passes its gates", held, observed)


def check_stage_shares(name: str, version: str, observer: Observer, until: datetime) -> Check:
    """Check in the log that each stage's share of the predictions was about its weight."""
    stages = [moment for moment in observer.moments if moment.what == STAGE and moment.value.startswith(f"{version} ")]
    ends = [*(moment.at for moment in stages[1:]), until]
    shares, largest = [], 0.0
    for stage, end in zip(stages, ends, strict=True):
        weight = float(stage.value.split()[-2])
        share = _share(name, version, stage.at + timedelta(seconds=FOLLOW_SECONDS), end)
        shares.append(f"{share:.1%} at {weight:g} %")
        largest = max(largest, abs(share - weight / 100))
    return Check(name, "traffic share by stage", bool(stages) and largest <= _SHARE_TOLERANCE, ", ".join(shares))


def check_rolled_back(name: str, champion: str, version: str) -> Check:
    """Check that the registry has the same champion, no canary, and the reason why the version is refused."""
    registry = Registry()
    aliases, tags = registry.model(name).aliases, registry.version(name, version).tags
    held = aliases.get(CHAMPION) == champion and CANARY not in aliases and REFUSED in tags
    return Check(name, f"version {version} rolled back", held, tags.get(REFUSED, "it is not refused"))


def check_no_predictions(name: str, version: str, gone: datetime) -> Check:
    """Check that the version predicts nothing any more, once the servers had the time to follow."""
    count = _count(_log(), name, gone + timedelta(seconds=FOLLOW_SECONDS), None, version)
    return Check(name, f"version {version} gone from traffic", count == 0, f"{count} predictions after the rollback")


def check_few_predictions(name: str, version: str, began: datetime, gone: datetime) -> Check:
    """Check that the version made at most MAX_FAULTY_SHARE of the predictions before it was rolled back."""
    share = _share(name, version, began, gone + timedelta(seconds=FOLLOW_SECONDS))
    return Check(name, "few predictions by it", share <= MAX_FAULTY_SHARE, f"{share:.1%} of the predictions meanwhile")


def check_all_answered(name: str, callers: SimulatedCallers) -> Check:
    """Check that every request was answered."""
    versions = ", ".join(f"version {version}: {count}" for version, count in sorted(callers.versions.items()))
    observed = f"{callers.sent} sent, {callers.failures} failed; {versions}"
    return Check(name, "requests answered", callers.failures == 0 and callers.sent > 0, observed)


def check_always_a_champion(name: str, observer: Observer) -> Check:
    """Check that there was a champion at every moment."""
    champions = [moment.value for moment in observer.moments if moment.what == CHAMPION]
    return Check(name, "always one champion", "" not in champions, " → ".join(value or "none" for value in champions))


def check_history(name: str, history: Mapping[str, Any]) -> Check:
    """Check that the history has the expected actions in order, and that its versions are as registered."""
    actions = [event["action"] for event in history["events"]]
    rest = iter(actions)
    missing = next((action for action in EXPECTED_ACTIONS if action not in rest), None)
    if missing is None and OVERRIDDEN not in actions:
        missing = OVERRIDDEN
    observed = f"{len(actions)} lines" + (f", no {missing} where it should be" if missing else "")
    problems = history["problems"]
    held = missing is None and not problems
    return Check(name, "complete history", held, f"{observed}; {'; '.join(problems) or 'verified'}")


def first_prediction_at(name: str, since: datetime) -> datetime:
    """Look up the time of the first prediction since then."""
    return _log().predictions(name, since).aggregate('min("@timestamp")').fetchall()[0][0].astimezone(UTC)


def count_labelled(name: str) -> int:
    """Count the predictions with a label."""
    return _log().labelled(name).aggregate("count(*)").fetchall()[0][0]


def _metrics(verdict: Mapping[str, Any]) -> Mapping[str, Any]:
    return (verdict["quality"] or {}).get("metrics") or {}


def _auc(verdict: Mapping[str, Any]) -> str:
    score = _metrics(verdict).get("roc_auc")
    return f"ROC AUC {score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f})" if score else "no labels yet"


def _share(name: str, version: str, since: datetime, until: datetime) -> float:
    total = _count(_log(), name, since, until)
    return _count(_log(), name, since, until, version) / total if total else 0.0


def _count(log: Log, name: str, since: datetime, until: datetime | None, version: str | None = None) -> int:
    predictions = log.predictions(name, since, until)
    if version:
        predictions = predictions.filter(f"\"slipway.model_version\" = '{version}'")
    return predictions.aggregate("count(*)").fetchall()[0][0]


def _log() -> Log:
    from slipway.prediction_log import Log

    return Log(settings())
