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
from tests.faults.home import NAME, Home
from tests.faults.table import OF_A_DECISION, REFUSED, Transition
from tests.pipelines.runs import finished_run
from tests.support import watched_loans as loans

USECASE = f"""{loans.USECASE_YAML}
auto_promote: true
retraining: {{min_labelled_rows: 20, cooldown_hours: 24, runs_per_week: 2}}
canary: {{stages: [10, 50], min_predictions: 40, min_minutes: 0, max_error_excess: 0.3, max_slow_excess: 0.3,
  max_score_shift: 1}}
"""
_ROWS = 30  # labelled, more than are needed
_FEW = 5
_SEEN = 400  # predictions of either arm: enough to show that they are alike, or that one fails
_BEGAN = timedelta(minutes=10)


def champion_and_challenger(home: Home) -> None:
    home.version()
    home.version(bias=0.1)
    home.alias(CHAMPION, "1")


def label(rows: int) -> Callable[[Home], None]:
    def prepare(home: Home) -> None:
        champion_and_challenger(home)
        frame = loans.rows(rows, seed=2)
        loans.log_labels(loans.answer(frame, "b" * 64, usecase=NAME), frame["label_true"], NAME)

    return prepare


def trained(home: Home) -> None:
    """Prepare a champion, and a finished run that is not registered yet; one of its gates was waived."""
    home.version()
    home.alias(CHAMPION, "1")
    root = settings().var / "runs" / "a"
    run, provenance = finished_run.write(root)
    metrics = run.bundle / "bundle" / "metrics.json"
    waived = {"name": "champion", "figure": -0.1, "threshold": -0.02, "verdict": "waived", "sentence": "It fell."}
    write_json(metrics, read_json(metrics) | {"gates": [waived]})
    (run.bundle / "bundle" / manifest.MANIFEST).unlink()
    manifest.write(run.bundle / "bundle", NAME, {})
    write_json(root / "provenance.json", msgspec.to_builtins(provenance))


def canary(weight: int, stage: int, failing: float | None = 0.0) -> Callable[[Home], None]:
    """Prepare a rollout of version 2 with enough traffic to advance, or to roll back if that share of it failed.

    With None there was no traffic.
    """

    def prepare(home: Home) -> None:
        champion_and_challenger(home)
        home.alias(CANARY, "2")
        began = timestamps.iso(datetime.now(UTC) - _BEGAN)
        running = {"version": "2", "weight": weight, "stage": stage, "since": began, "began": began, "champion": "1"}
        home.model.tags[CANARY_TAG] = json.dumps(running | {"first": 10})
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
    for number in range(_SEEN):
        fails = number < failing * _SEEN
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
        answer = {} if fails else {"label": "good", "score": number / _SEEN}
        lines.append(
            context.line(
                prediction_event.EventRequest("t" * 32, "r", 1), f"{role}{number}-0", {"age": 30.0}, answer=answer
            )
        )
    writer = Writer(settings().spool, NAME, "prediction")
    assert writer.write(b"".join(lines))
    writer.close()


def started(home: Home) -> None:
    (run,) = home.prefect.runs.values()
    (decision,) = [one for one in home.decisions() if one["outcome"] == "started"]
    assert decision["flow_run_id"] == run["id"]
    lines = [line.evidence["flow_run_id"] for line in home.lines if line.action == "retraining.started"]
    assert set(lines) == {run["id"]} and len(lines) <= 2, "once, or twice where its process was killed in between"


def refused(home: Home) -> None:
    assert not home.prefect.runs
    assert any(one["rule"] == "labels" for one in home.decisions())
    lines = [line for line in home.lines if line.evidence.get("rule") == "labels"]
    assert 1 <= len(lines) <= 2


def registered(home: Home) -> None:
    assert home.model.aliases == {CHAMPION: "1", CHALLENGER: "2"}
    assert set(home.model.versions) == {"1", "2"}, "one version comes of one run"
    assert home.model.tags["slipway.holdout_sha256"]
    runs = [run for run in home.mlflow.state.runs.values() if _is_training(run)]
    assert [run["info"]["status"] for run in runs] == ["FINISHED"]
    assert _count_lines(home, "gate.waived") == 1


def _is_training(run: dict[str, Any]) -> bool:
    tags = {tag["key"] for tag in run["data"]["tags"]}
    return "slipway.run_key" in tags and run["info"]["lifecycle_stage"] == "active"


def began(home: Home) -> None:
    assert home.model.aliases == {**home.model.aliases, CHAMPION: "1", CANARY: "2"}
    assert _rollout(home)["stage"] == 1
    assert _count_lines(home, "canary.began") == 1


def advanced(home: Home) -> None:
    assert _rollout(home)["stage"] == 2
    assert _count_lines(home, "canary.advanced") == 1


def finished(home: Home) -> None:
    assert home.model.aliases == {CHAMPION: "2"}
    assert CANARY_TAG not in home.model.tags
    assert _count_lines(home, "canary.finished") == 1


def rolled_back(home: Home) -> None:
    assert home.model.aliases == {CHAMPION: "1"}
    assert "taken back by" in home.tags("2")[REFUSED]
    assert _count_lines(home, "canary.rolled_back") == 1


def champion_rolled_back(home: Home) -> None:
    assert home.model.aliases == {CHAMPION: "1"}
    assert "taken back by" in home.tags("2")[REFUSED]
    assert 1 <= _count_lines(home, "rolled_back") + _count_lines(home, "alias.moved") <= 2


def promoted(home: Home) -> None:
    assert home.model.aliases == {CHAMPION: "2"}
    assert _count_lines(home, "promoted") >= 1


def removed(home: Home) -> None:
    assert home.model.aliases == {CHAMPION: "1"}
    assert CANARY_TAG not in home.model.tags
    assert home.tags("2")["slipway.serving.local"].startswith("refused: another schema.")
    assert _count_lines(home, "canary.ended") == 1


def champion_restored(home: Home) -> None:
    assert home.model.aliases == {CHAMPION: "1"}
    assert home.tags("2")["slipway.serving.local"].startswith("refused: another schema.")


def _rollout(home: Home) -> dict[str, Any]:
    return json.loads(home.model.tags.get(CANARY_TAG, '{"stage": 0}'))


def _count_lines(home: Home, action: str) -> int:
    return sum(line.action == action for line in home.lines)


def challenged(home: Home) -> None:
    champion_and_challenger(home)
    home.alias(CHALLENGER, "2")


def promoted_before(home: Home) -> None:
    champion_and_challenger(home)
    home.alias(CHAMPION, "2")
    append_audit("promoted", {"alias": CHAMPION, "from": "1", "to": "2"})
    home.tags("1")["slipway.serving.local"] = "replaced: by version 2 since yesterday"
    home.run("look")


LOOK = "look_at_servers"
TRANSITIONS = [
    Transition("verdict_to_decision", "ask", label(_FEW), refused, OF_A_DECISION, goes_on="ask"),
    Transition("decision_to_run", "ask", label(_ROWS), started, (*OF_A_DECISION, "prefect_answer_lost"), goes_on="ask"),
    Transition("challenger_to_canary", "look", challenged, began, args={"passes": 2}),
    Transition("stage_to_stage", "look", canary(10, 1), advanced),
    Transition("last_stage_to_champion", "look", canary(50, 2), finished),
    Transition("canary_rolled_back", "look", canary(50, 2, failing=0.8), rolled_back),
    Transition("canary_rolled_back_by_hand", "roll_back", canary(10, 1), rolled_back, again=True),
    Transition(
        "champion_rolled_back_by_hand",
        "roll_back",
        promoted_before,
        champion_rolled_back,
        goes_on="look_later",
        again=True,
    ),
    Transition("canary_refused_by_servers", LOOK, canary(10, 1, None), removed, args={"role": CANARY}, goes_on=LOOK),
    Transition(
        "champion_refused_by_servers", LOOK, promoted_before, champion_restored, args={"role": CHAMPION}, goes_on=LOOK
    ),
    Transition("promoted_by_command", "promote", champion_and_challenger, promoted, args={"version": "2"}, again=True),
    # Last, since MLflow's client, which it loads, makes every later process dearer.
    Transition("run_to_challenger", "register", trained, registered, goes_on="register"),
]
