"""What each act of the loop must show, where a person would look: verdicts, registry, log, audit."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.closed_loop.observer import STAGE, Observer
from scenarios.demo import Check
from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import FlowRun
from slipway.contracts.bundle import gate_report
from slipway.contracts.registry_names import CANARY, CHAMPION
from slipway.settings import settings

if TYPE_CHECKING:
    from scenarios.closed_loop.simulated_callers import SimulatedCallers
    from slipway.prediction_log import Log

LEAST_LABELS = 300
MOST_SAW = 0.05
FOLLOW_SECONDS = 4.0  # a follower looks every two, a worker four times a second
_SHARE_OFF = 0.05
# What must be written down, in this order; other lines may stand between.
STORY = (
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
OVERRIDDEN = "overridden"  # the rollout, which sees the alias, may be quicker with its line than the command


def is_worse(found: Mapping[str, Any]) -> bool:
    """Whether the verdict says that the answers are worse than on the reference."""
    return any(metric["worse"] for metric in _metrics(found).values())


def has_labels(found: Mapping[str, Any]) -> bool:
    return ((found["quality"] or {}).get("labelled") or 0) >= LEAST_LABELS


def well(name: str, found: Mapping[str, Any], when: str) -> Check:
    """No drift, and answers as good as on the reference."""
    held = found["verdict"] == "none" and bool(_metrics(found)) and not is_worse(found)
    return Check(name, f"all is well {when}", held, f"verdict {found['verdict']}, {_auc(found)}")


def found(name: str, found: Mapping[str, Any]) -> Check:
    drifted = f", drift in {', '.join(found['drifted'])}" if found["drifted"] else ", no feature drifts"
    return Check(name, "the change is found", is_worse(found), f"{_auc(found)}{drifted}")


def refused(name: str, found: Mapping[str, Any], enough: int) -> Check:
    """The policy was asked, and refused since the labels are too few."""
    decision = found.get("retraining") or {}
    held = decision.get("outcome") == "refused" and f"{enough:,}".replace(",", "") in _plain(decision.get("reason", ""))
    return Check(name, "asked too early, refused", held, decision.get("reason", "the policy was not asked"))


def one_run(name: str, runs: Sequence[FlowRun]) -> Check:
    return Check(name, "one run, however many ask", len(runs) == 1, f"{len(runs)} flow runs since the change")


def decided(name: str, found: Mapping[str, Any]) -> Check:
    """The last verdict names what became of its ask."""
    decision = found.get("retraining") or {}
    seen = f"{decision.get('outcome', 'nothing decided')}: {decision.get('reason', '')}"
    return Check(name, "the decision is in the verdict", "outcome" in decision, seen)


def waived(name: str, version: str) -> Check:
    """The gates passed on the newest window, and that the old world's holdout was waived is written down."""
    registry = Registry()
    with tempfile.TemporaryDirectory() as folder:
        registry.fetch_bundle(registry.version(name, version), Path(folder))
        verdict = gate_report.read_gate_report(Path(folder))
    gates = {gate.name: gate.verdict for gate in verdict.gates}
    waivers = [gate for gate, said in gates.items() if said == "waived"]
    held = verdict.passed and gates.get("window") == "passed" and bool(waivers)
    seen = f"window {gates.get('window', 'not judged')}; waived: {', '.join(waivers) or 'nothing'}"
    return Check(name, f"version {version} passes on evidence", held, seen)


def shares(name: str, version: str, observer: Observer, until: datetime) -> Check:
    """Each stage's share of the answers was about its weight, in the log."""
    stages = [moment for moment in observer.moments if moment.what == STAGE and moment.value.startswith(f"{version} ")]
    ends = [*(moment.at for moment in stages[1:]), until]
    shown, off = [], 0.0
    for stage, end in zip(stages, ends, strict=True):
        wanted = float(stage.value.split()[-2])
        share = _share(name, version, stage.at + timedelta(seconds=FOLLOW_SECONDS), end)
        shown.append(f"{share:.1%} at {wanted:g} %")
        off = max(off, abs(share - wanted / 100))
    return Check(name, "answers by stage", bool(stages) and off <= _SHARE_OFF, ", ".join(shown))


def taken_back(name: str, champion: str, version: str) -> Check:
    """The registry names the champion as before, no canary, and why the version is refused."""
    registry = Registry()
    aliases, tags = registry.model(name).aliases, registry.version(name, version).tags
    held = aliases.get(CHAMPION) == champion and CANARY not in aliases and "slipway.refused" in tags
    return Check(name, f"version {version} is taken back", held, tags.get("slipway.refused", "it is not refused"))


def silent(name: str, version: str, gone: datetime) -> Check:
    """The version answers nobody any more, once the servers had the time to follow."""
    later = _count(_log(), name, gone + timedelta(seconds=FOLLOW_SECONDS), None, version)
    return Check(name, f"version {version} answers nobody", later == 0, f"{later} answers after it was taken back")


def few_saw(name: str, version: str, began: datetime, gone: datetime) -> Check:
    share = _share(name, version, began, gone + timedelta(seconds=FOLLOW_SECONDS))
    return Check(name, "few callers ever saw it", share <= MOST_SAW, f"{share:.1%} of the answers meanwhile")


def answered(name: str, callers: SimulatedCallers) -> Check:
    """No caller was ever left without an answer."""
    versions = ", ".join(f"version {version}: {count}" for version, count in sorted(callers.versions.items()))
    seen = f"{callers.sent} sent, {callers.failures} failed; {versions}"
    return Check(name, "callers", callers.failures == 0 and callers.sent > 0, seen)


def never_without(name: str, observer: Observer) -> Check:
    champions = [moment.value for moment in observer.moments if moment.what == CHAMPION]
    return Check(name, "always one champion", "" not in champions, " → ".join(value or "none" for value in champions))


def told(name: str, history: Mapping[str, Any]) -> Check:
    """The history tells the whole story in order, and what it stands on is what was registered."""
    actions = [event["action"] for event in history["events"]]
    rest = iter(actions)
    missing = next((action for action in STORY if action not in rest), None)
    if missing is None and OVERRIDDEN not in actions:
        missing = OVERRIDDEN
    seen = f"{len(actions)} lines" + (f", no {missing} where it should be" if missing else "")
    problems = history["problems"]
    held = missing is None and not problems
    return Check(name, "the history tells all of it", held, f"{seen}; {'; '.join(problems) or 'verified'}")


def first_answer(name: str, since: datetime) -> datetime:
    """When the first prediction from then on was answered."""
    return _log().predictions(name, since).aggregate('min("@timestamp")').fetchall()[0][0].astimezone(UTC)


def labelled(name: str) -> int:
    """Predictions whose label has come."""
    return _log().labelled(name).aggregate("count(*)").fetchall()[0][0]


def _metrics(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return (found["quality"] or {}).get("metrics") or {}


def _auc(found: Mapping[str, Any]) -> str:
    score = _metrics(found).get("roc_auc")
    return f"ROC AUC {score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f})" if score else "no labels yet"


def _plain(text: str) -> str:
    return text.replace(",", "")


def _share(name: str, version: str, since: datetime, until: datetime) -> float:
    total = _count(_log(), name, since, until)
    return _count(_log(), name, since, until, version) / total if total else 0.0


def _count(log: Log, name: str, since: datetime, until: datetime | None, version: str | None = None) -> int:
    answers = log.predictions(name, since, until)
    mine = answers.filter(f"\"slipway.model_version\" = '{version}'") if version else answers
    return mine.aggregate("count(*)").fetchall()[0][0]


def _log() -> Log:
    from slipway.prediction_log import Log

    return Log(settings())
