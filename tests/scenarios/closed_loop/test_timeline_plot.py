"""Timeline plot of the closed loop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scenarios.closed_loop import timeline_plot
from scenarios.closed_loop.timeline_plot import Timeline
from slipway.config import load
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.support.prediction_log import sample_events

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
DRIFT_AT = 20.0


def moment(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def event(seconds: float, action: str, version: str | None = None, **evidence: Any) -> dict[str, Any]:
    return {"at": moment(seconds), "action": action, "version": version, "who": "", "why": "", "evidence": evidence}


def verdict(seconds: float, kind: str, worse: bool) -> dict[str, Any]:
    return {"created": moment(seconds), "verdict": kind, "quality": {"metrics": {"roc_auc": {"worse": worse}}}}


def predictions() -> pd.DataFrame:
    """Version 1 predicts well until the drift and the wrong class from then on; version 2 follows at 60 s."""
    rng = np.random.default_rng(7)
    at = np.arange(0, 100, 0.05)
    version = np.where(at < 60, "1", "2")
    truth = (rng.random(len(at)) < 0.3).astype(float)
    sign = np.where((version == "1") & (at > DRIFT_AT), -1, 1)
    score = 1 / (1 + np.exp(-(2 * sign * (2 * truth - 1) + rng.normal(size=len(at)))))
    truth[::50] = np.nan  # no label came
    return pd.DataFrame({"at": at, "version": version, "truth": truth, "score": score})


@pytest.fixture
def timeline() -> Timeline:
    events = [
        event(-30, "registered", "1"),
        event(-25, "promoted", "1", alias="champion", to="1"),
        event(24, "retraining.refused"),
        event(30, "retraining.started"),
        event(40, "registered", "2"),
        event(41, "canary.began", "2", weight=5),
        event(50, "canary.advanced", "2", weight=100),
        event(60, "canary.finished", "2", moved=[{"alias": "champion", "from": "1", "to": "2"}]),
        event(70, "registered", "3"),
        event(71, "overridden", "3"),
        event(72, "canary.began", "3", weight=5),
        event(80, "canary.rolled_back", "3", moved=[{"alias": "canary", "from": "3", "to": None}]),
    ]
    passed, waived = {"verdict": "passed"}, {"verdict": "waived"}
    versions = [
        {"version": "1", "gate": "passed", "gates": [passed]},
        {"version": "2", "gate": "passed", "gates": [passed, waived]},
        {"version": "3", "gate": "failed", "gates": None},
    ]
    verdicts = [verdict(10, "none", False), verdict(25, "none", True), {**verdict(30, "drift", False), "quality": None}]
    return Timeline({"events": events, "versions": versions}, verdicts, predictions(), BEGAN, DRIFT_AT)


def test_it_is_drawn_from_the_events(timeline: Timeline, tmp_path: Path) -> None:
    path = timeline_plot.draw(timeline, tmp_path / "pictures" / "timeline.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 30_000


def test_quality_falls_with_the_drift_and_recovers_with_the_new_champion(timeline: Timeline) -> None:
    centres, scores = timeline_plot.binned_roc_auc(timeline.predictions)
    before = scores[centres < DRIFT_AT - timeline_plot.BIN_SECONDS]
    during = scores[(centres > DRIFT_AT + timeline_plot.BIN_SECONDS) & (centres < 60 - timeline_plot.BIN_SECONDS)]
    after = scores[centres > 60 + timeline_plot.BIN_SECONDS]
    assert min(before) > 0.8 > 0.2 > max(during)
    assert min(after) > 0.8


def test_bins_with_few_labels_or_one_class_have_no_score(timeline: Timeline) -> None:
    few = timeline.predictions.iloc[:: round(20 * timeline_plot.BIN_SECONDS / timeline_plot.MIN_ROWS) + 3]
    assert len(timeline_plot.binned_roc_auc(few)[0]) == 0
    assert len(timeline_plot.binned_roc_auc(timeline.predictions[timeline.predictions["truth"] == 1])[0]) == 0


def test_a_loop_that_ended_early_is_drawn_too(timeline: Timeline, tmp_path: Path) -> None:
    """A rollout in its middle, a run that registered nothing."""
    early = Timeline(
        {"events": timeline.events[:7], "versions": timeline.history["versions"]}, [], predictions(), BEGAN, DRIFT_AT
    )
    assert timeline_plot.draw(early, tmp_path / "timeline.png").exists()


def test_the_timeline_of_a_log_has_every_prediction_and_its_label() -> None:
    config = settings()
    usecase = load("credit_risk").model_copy(update={"name": sample_events.USECASE})
    writers = {
        stream: Writer(config.spool, usecase.name, stream, config.segment_bytes, config.segment_seconds)
        for stream in ("prediction", "feedback")
    }
    writers["prediction"].write(sample_events.prediction("a-0", 1))
    writers["prediction"].write(sample_events.prediction("b-0", 3))
    writers["prediction"].write(sample_events.prediction("c-0", 4, role="shadow", answered=False))
    writers["feedback"].write(sample_events.label(5, 5, row="b-0", label="bad"))
    for writer in writers.values():
        writer.close()
    timeline = timeline_plot.read_timeline(
        usecase, {"events": [event(0, "registered", "1")]}, [], sample_events.START + timedelta(seconds=3)
    )
    found = timeline.predictions.sort_values("at")
    assert found["at"].tolist() == [0.0, 2.0]
    assert found["version"].tolist() == ["1", "1"]
    assert found["truth"].isna().tolist() == [True, False]
    assert found["truth"].iloc[1] == 1.0
    assert (timeline.began, timeline.drift_at) == (sample_events.START + timedelta(seconds=1), 2.0)
    assert [one["action"] for one in timeline.events] == ["registered"]
