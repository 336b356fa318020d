"""Transitions of the loop: the state that each needs, the act that makes it, and where it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from pipelines.artifacts import write_json
from pipelines.artifacts.json_files import read_json
from slipway import audit, timestamps
from slipway.contracts.bundle import manifest
from slipway.contracts.events import encoder, prediction_event
from slipway.contracts.registry_names import CANARY, CHALLENGER, CHAMPION
from slipway.contracts.registry_names import ROLLOUT as CANARY_TAG
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.faults.table import OF_A_DECISION, REFUSED, Transition
from tests.faults.workspace import NAME, Workspace
from tests.pipelines.runs import finished_run
from tests.support.prediction_log import watched_loans as loans

USECASE = f"""{loans.USECASE_YAML}
auto_promote: true
retraining: {{min_labelled_rows: 20, cooldown_hours: 24, runs_per_week: 2}}
canary: {{stages: [10, 50], min_predictions: 40, min_minutes: 0, max_error_excess: 0.3, max_slow_excess: 0.3,
  max_score_shift: 1}}
"""
_ROWS = 30  # labelled, more than are needed
_FEW = 5
_PREDICTED = 400  # predictions of either arm: enough to show that they are alike, or that one fails
_BEGAN = timedelta(minutes=10)


def champion_and_challenger(workspace: Workspace) -> None:
    workspace.version()
    workspace.version(bias=0.1)
    workspace.alias(CHAMPION, "1")


def label(rows: int) -> Callable[[Workspace], None]:
    def prepare(workspace: Workspace) -> None:
        champion_and_challenger(workspace)
        frame = loans.rows(rows, seed=2)
        loans.log_labels(loans.answer(frame, "b" * 64, usecase=NAME), frame["label_true"], NAME)

    return prepare


def trained(workspace: Workspace) -> None:
    """Prepare a champion, and a finished run that is not registered yet; one of its gates was waived."""
    workspace.version()
    workspace.alias(CHAMPION, "1")
    root = settings().var / "runs" / "a"
    run, provenance = finished_run.write(root)
    metrics = run.bundle / "bundle" / "metrics.json"
    waived = {"name": "champion", "figure": -0.1, "threshold": -0.02, "verdict": "waived", "sentence": "It fell."}
    write_json(metrics, read_json(metrics) | {"gates": [waived]})
    (run.bundle / "bundle" / manifest.MANIFEST).unlink()
    manifest.write(run.bundle / "bundle", NAME, {})
    write_json(root / "provenance.json", msgspec.to_builtins(provenance))


def canary(weight: int, stage: int, failing: float | None = 0.0) -> Callable[[Workspace], None]:
    """Prepare a rollout of version 2 with enough traffic to advance, or to roll back if that share of it failed.

    With None there was no traffic.
    """

    def prepare(workspace: Workspace) -> None:
        champion_and_challenger(workspace)
        workspace.alias(CANARY, "2")
        began = timestamps.iso(datetime.now(UTC) - _BEGAN)
        running = {"version": "2", "weight": weight, "stage": stage, "since": began, "began": began, "champion": "1"}
        workspace.model.tags[CANARY_TAG] = json.dumps(running | {"first": 10})
        append_audit("canary.began", {"began": began, "stage": 1, "weight": 10})
        if stage > 1:
            append_audit("canary.advanced", {"began": began, "stage": stage, "weight": weight})
        if failing is not None:
            predict("champion", "1", 0.0)
            predict("canary", "2", failing)

    return prepare


def append_audit(action: str, evidence: dict[str, Any]) -> None:
    audit.append(NAME, action, who="ada", version="2", evidence=evidence)


def predict(role: str, version: str, failing: float) -> None:
    when = timestamps.iso(datetime.now(UTC) - _BEGAN / 2)
    lines = []
    for number in range(_PREDICTED):
        fails = number < failing * _PREDICTED
        context = encoder.EventEncoder(
            environment=settings().environment,
            usecase=NAME,
            version=version,
            bundle_sha256="b" * 64,
            role=role,
            answered=not fails,
            timestamp=when,
            model_ms=1.0,
            outcome="failure" if fails else "success",
        )
        answer = {} if fails else {"label": "good", "score": number / _PREDICTED}
        lines.append(
            context.encode_row(
                prediction_event.EventRequest("t" * 32, "r", 1), f"{role}{number}-0", {"age": 30.0}, answer=answer
            )
        )
    writer = Writer(settings().spool, NAME, "prediction")
    assert writer.write(b"".join(lines))
    writer.close()


def started(workspace: Workspace) -> None:
    (run,) = workspace.prefect.runs.values()
    (decision,) = [one for one in workspace.decisions() if one["outcome"] == "started"]
    assert decision["flow_run_id"] == run["id"]
    lines = [line.evidence["flow_run_id"] for line in workspace.lines if line.action == "retraining.started"]
    assert set(lines) == {run["id"]} and len(lines) <= 2, "once, or twice where its process was killed in between"


def refused(workspace: Workspace) -> None:
    assert not workspace.prefect.runs
    assert any(one["rule"] == "labels" for one in workspace.decisions())
    lines = [line for line in workspace.lines if line.evidence.get("rule") == "labels"]
    assert 1 <= len(lines) <= 2


def registered(workspace: Workspace) -> None:
    assert workspace.model.aliases == {CHAMPION: "1", CHALLENGER: "2"}
    assert set(workspace.model.versions) == {"1", "2"}, "one version comes of one run"
    assert workspace.model.tags["slipway.holdout_sha256"]
    runs = [run for run in workspace.mlflow.state.runs.values() if _is_training(run)]
    assert [run["info"]["status"] for run in runs] == ["FINISHED"]
    assert _count_lines(workspace, "gate.waived") == 1


def _is_training(run: dict[str, Any]) -> bool:
    tags = {tag["key"] for tag in run["data"]["tags"]}
    return "slipway.run_key" in tags and run["info"]["lifecycle_stage"] == "active"


def began(workspace: Workspace) -> None:
    assert workspace.model.aliases == {**workspace.model.aliases, CHAMPION: "1", CANARY: "2"}
    assert _rollout(workspace)["stage"] == 1
    assert _count_lines(workspace, "canary.began") == 1


def advanced(workspace: Workspace) -> None:
    assert _rollout(workspace)["stage"] == 2
    assert _count_lines(workspace, "canary.advanced") == 1


def finished(workspace: Workspace) -> None:
    assert workspace.model.aliases == {CHAMPION: "2"}
    assert CANARY_TAG not in workspace.model.tags
    assert _count_lines(workspace, "canary.finished") == 1


def rolled_back(workspace: Workspace) -> None:
    assert workspace.model.aliases == {CHAMPION: "1"}
    assert "taken back by" in workspace.tags("2")[REFUSED]
    assert _count_lines(workspace, "canary.rolled_back") == 1


def champion_rolled_back(workspace: Workspace) -> None:
    assert workspace.model.aliases == {CHAMPION: "1"}
    assert "taken back by" in workspace.tags("2")[REFUSED]
    assert 1 <= _count_lines(workspace, "rolled_back") + _count_lines(workspace, "alias.moved") <= 2


def promoted(workspace: Workspace) -> None:
    assert workspace.model.aliases == {CHAMPION: "2"}
    assert _count_lines(workspace, "promoted") >= 1


def removed(workspace: Workspace) -> None:
    assert workspace.model.aliases == {CHAMPION: "1"}
    assert CANARY_TAG not in workspace.model.tags
    assert workspace.tags("2")["slipway.serving.local"].startswith("refused: another schema.")
    assert _count_lines(workspace, "canary.ended") == 1


def champion_restored(workspace: Workspace) -> None:
    assert workspace.model.aliases == {CHAMPION: "1"}
    assert workspace.tags("2")["slipway.serving.local"].startswith("refused: another schema.")


def _rollout(workspace: Workspace) -> dict[str, Any]:
    return json.loads(workspace.model.tags.get(CANARY_TAG, '{"stage": 0}'))


def _count_lines(workspace: Workspace, action: str) -> int:
    return sum(line.action == action for line in workspace.lines)


def challenged(workspace: Workspace) -> None:
    champion_and_challenger(workspace)
    workspace.alias(CHALLENGER, "2")


def promoted_before(workspace: Workspace) -> None:
    champion_and_challenger(workspace)
    workspace.alias(CHAMPION, "2")
    append_audit("promoted", {"alias": CHAMPION, "from": "1", "to": "2"})
    workspace.tags("1")["slipway.serving.local"] = "replaced: by version 2 since yesterday"
    workspace.run("watch")


WATCH_WITH_SERVER = "watch_with_server"
TRAINING = [
    Transition(
        "verdict_to_decision", "request_retraining", label(_FEW), refused, OF_A_DECISION, goes_on="request_retraining"
    ),
    Transition(
        "decision_to_run",
        "request_retraining",
        label(_ROWS),
        started,
        (*OF_A_DECISION, "prefect_answer_lost"),
        goes_on="request_retraining",
    ),
    # Last, since MLflow's client, which it loads, makes every later process dearer.
    Transition("run_to_challenger", "register", trained, registered, goes_on="register"),
]
CANARY_STAGES = [
    Transition("challenger_to_canary", "watch", challenged, began, args={"passes": 2}),
    Transition("stage_to_stage", "watch", canary(10, 1), advanced),
    Transition("canary_rolled_back", "watch", canary(50, 2, failing=0.8), rolled_back),
    Transition("canary_rolled_back_by_hand", "roll_back", canary(10, 1), rolled_back, again=True),
    Transition(
        "canary_refused_by_servers",
        WATCH_WITH_SERVER,
        canary(10, 1, None),
        removed,
        args={"role": CANARY},
        goes_on=WATCH_WITH_SERVER,
    ),
]
CHAMPIONS = [
    Transition("last_stage_to_champion", "watch", canary(50, 2), finished),
    Transition(
        "champion_rolled_back_by_hand",
        "roll_back",
        promoted_before,
        champion_rolled_back,
        goes_on="watch_until_settled",
        again=True,
    ),
    Transition(
        "champion_refused_by_servers",
        WATCH_WITH_SERVER,
        promoted_before,
        champion_restored,
        args={"role": CHAMPION},
        goes_on=WATCH_WITH_SERVER,
    ),
    Transition("promoted_by_command", "promote", champion_and_challenger, promoted, args={"version": "2"}, again=True),
]
