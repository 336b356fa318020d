"""Timeline plot of the closed loop: quality, traffic share per version, and the events of release and retraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.config import UseCase
from slipway.prediction_log import Log
from slipway.settings import settings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

BIN_SECONDS = 8.0
MIN_ROWS = 60
LANES = ("champion", "rollout", "gates", "retraining", "verdicts")
_COLOURS = ("#2563a8", "#1f8a4c", "#c0392b", "#8250a0")
_GREY, _INK = "#8a8f98", "#22262b"
_GOOD, _BAD = "#1f8a4c", "#c0392b"
_STAGES = ("canary.began", "canary.advanced", "canary.finished", "canary.rolled_back", "canary.ended")
_ENDS = _STAGES[2:]


@dataclass(frozen=True)
class Timeline:
    """Data of the plot: the output of `slipway history --json`, the verdicts, and one row per prediction.

    `predictions` has the columns `at` [s since `began`], `version`, and, for labelled ones, `truth` (0 or 1) and
    `score`. `drift_at` is when the drift began [s since `began`].
    """

    history: Mapping[str, Any]
    verdicts: Sequence[Mapping[str, Any]]
    predictions: pd.DataFrame
    began: datetime
    drift_at: float

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        return self.history["events"]

    def at(self, event: Mapping[str, Any]) -> float:
        """Return the time of an event in seconds."""
        return self.seconds(event["at"])

    def seconds(self, timestamp: str) -> float:
        """Convert an ISO timestamp to seconds since `began`."""
        return (datetime.fromisoformat(timestamp) - self.began).total_seconds()

    @property
    def end(self) -> float:
        """Return the time of the last prediction or event in seconds."""
        return max([self.predictions["at"].max(), *map(self.at, self.events)])

    def colour(self, version: str | None) -> str:
        """Return the colour of a version, grey for one without predictions."""
        versions = sorted(set(self.predictions["version"]), key=int)
        return _COLOURS[versions.index(version) % len(_COLOURS)] if version in versions else _GREY


def read_timeline(
    usecase: UseCase, history: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]], drift_began: datetime
) -> Timeline:
    """Build the timeline of a loop that has just ended, from its history, its verdicts and the prediction log."""
    log = Log(settings())
    columns = '"slipway.row_id" AS id, epoch("@timestamp") AS at, "slipway.model_version" AS version'
    predictions = log.predictions(usecase.name).select(columns).df()
    scored = log.labelled(usecase.name).select('"slipway.row_id" AS id, "slipway.score" AS score, label_true').df()
    scored["truth"] = (scored.pop("label_true") == usecase.target.positive).astype(float)
    began = datetime.fromtimestamp(float(predictions["at"].min()), tz=drift_began.tzinfo)
    predictions["at"] -= predictions["at"].min()
    predictions = predictions.merge(scored, on="id", how="left")
    return Timeline(history, verdicts, predictions, began, (drift_began - began).total_seconds())


def draw(timeline: Timeline, path: Path) -> Path:
    """Draw the plot to a PNG file and return its path."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "text.color": _INK}
    with pyplot.rc_context(style):
        figure, (quality, share, lanes) = pyplot.subplots(
            3, 1, figsize=(14, 9), sharex=True, height_ratios=(3, 2, 3.4), constrained_layout=True
        )
        figure.suptitle("Closed loop: concept drift, a retrained champion, and a faulty canary rolled back")
        _quality(quality, timeline)
        _shares(share, timeline)
        _events(lanes, timeline)
        for axes in (quality, share, lanes):
            axes.axvline(timeline.drift_at, color=_INK, linestyle=":", linewidth=1.2)
        quality.annotate("concept drift", (timeline.drift_at, 1.0), (4, -2), textcoords="offset points", va="top")
        lanes.set_xlabel("seconds since the first prediction")
        lanes.set_xlim(min(0.0, *map(timeline.at, timeline.events)) if timeline.events else 0.0, timeline.end * 1.02)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
        pyplot.close(figure)
    return path


def binned_roc_auc(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Compute the ROC AUC of the labelled predictions in bins of BIN_SECONDS: bin centres [s] and scores."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    centres, scores = [], []
    labelled = predictions.dropna(subset=["truth"])
    for number, rows in labelled.groupby(labelled["at"] // BIN_SECONDS):
        if len(rows) >= MIN_ROWS and rows["truth"].nunique() == 2:
            centres.append((number + 0.5) * BIN_SECONDS)
            scores.append(roc_auc_score(rows["truth"], rows["score"]))
    return np.array(centres), np.array(scores)


def _quality(axes: Axes, timeline: Timeline) -> None:
    for version, predictions in timeline.predictions.groupby("version"):
        centres, scores = binned_roc_auc(predictions)
        axes.plot(centres, scores, marker="o", markersize=3, color=timeline.colour(version), label=f"version {version}")
    centres, scores = binned_roc_auc(timeline.predictions)
    axes.plot(centres, scores, color=_GREY, linewidth=4, alpha=0.35, zorder=0, label="all predictions")
    axes.set_ylim(0, 1)
    axes.set_ylabel("ROC AUC of labelled\npredictions")
    axes.legend(loc="lower right", frameon=False, ncols=4)


def _shares(axes: Axes, timeline: Timeline) -> None:
    import numpy as np

    edges = np.arange(0, timeline.end + BIN_SECONDS / 4, BIN_SECONDS / 4)
    versions = sorted(set(timeline.predictions["version"]), key=int)
    counts = [
        np.histogram(timeline.predictions.loc[timeline.predictions["version"] == v, "at"], edges)[0] for v in versions
    ]
    total = np.maximum(np.sum(counts, axis=0), 1)
    axes.stackplot(
        edges[:-1], [100 * count / total for count in counts], colors=[timeline.colour(v) for v in versions], alpha=0.75
    )
    axes.set_ylim(0, 100)
    axes.set_ylabel("predictions by version [%]")


def _events(axes: Axes, timeline: Timeline) -> None:
    axes.set_yticks(range(len(LANES)), LANES)
    axes.set_ylim(-0.6, len(LANES) - 0.4)
    axes.invert_yaxis()
    axes.grid(axis="y", color="#e6e8eb")
    axes.set_axisbelow(True)
    _champions(axes, timeline)
    _rollouts(axes, timeline)
    _runs(axes, timeline)
    for event in timeline.events:
        if event["action"] == "registered":
            _gates(axes, timeline, event)
        elif event["action"] == "overridden":
            _mark(axes, "gates", timeline.at(event), "override", _BAD, below=True)
    refused = [timeline.at(event) for event in timeline.events if event["action"] == "retraining.refused"]
    for number, at in enumerate(refused):
        _mark(axes, "retraining", at, "" if number else "refused", _GREY)
    for verdict in timeline.verdicts:
        is_bad = verdict["verdict"] == "drift" or any(
            metric["worse"] for metric in (verdict["quality"] or {"metrics": {}})["metrics"].values()
        )
        colour = _BAD if is_bad else _GOOD
        axes.plot(timeline.seconds(verdict["created"]), LANES.index("verdicts"), "o", color=colour, markersize=5)


def _champions(axes: Axes, timeline: Timeline) -> None:
    moves = [(timeline.at(event), str(event["version"])) for event in timeline.events if _made_champion(event)]
    for (start, version), (end, _) in zip(moves, [*moves[1:], (timeline.end, "")], strict=True):
        _bar(axes, "champion", start, end, timeline.colour(version), f"version {version}")


def _rollouts(axes: Axes, timeline: Timeline) -> None:
    """Draw a bar per stage, labelled by its weight, and a mark for the end of the rollout."""
    stages = [event for event in timeline.events if event["action"] in _STAGES]
    for event, following in zip(stages, [*stages[1:], None], strict=True):
        if event["action"] in _ENDS:
            bad = event["action"] != "canary.finished"
            _mark(axes, "rollout", timeline.at(event), "rolled back" if bad else "", _BAD if bad else _GOOD)
            continue
        end = timeline.at(following) if following else timeline.end
        weight = event["evidence"].get("weight")
        label = f"{weight:g} %" if weight is not None else ""
        _bar(axes, "rollout", timeline.at(event), end, timeline.colour(str(event["version"])), label)


def _runs(axes: Axes, timeline: Timeline) -> None:
    """Draw a bar from the start of each run to the version that it registered."""
    registered = [timeline.at(event) for event in timeline.events if event["action"] == "registered"]
    for event in timeline.events:
        if event["action"] == "retraining.started":
            start = timeline.at(event)
            end = min((at for at in registered if at > start), default=timeline.end)
            _bar(axes, "retraining", start, end, _GREY, "training run")


def _gates(axes: Axes, timeline: Timeline, event: Mapping[str, Any]) -> None:
    registered = next(each for each in timeline.history["versions"] if each["version"] == event["version"])
    verdicts = [gate["verdict"] for gate in registered["gates"] or []]
    is_bad = registered["gate"] != "passed"
    waived = f", {verdicts.count('waived')} waived" if "waived" in verdicts else ""
    _mark(
        axes,
        "gates",
        timeline.at(event),
        f"version {event['version']}: {registered['gate']}{waived}",
        _BAD if is_bad else _GOOD,
    )


def _made_champion(event: Mapping[str, Any]) -> bool:
    """Tell whether the event made its version the champion."""
    moved = event["evidence"].get("moved") or [event["evidence"]]
    return any(move.get("alias") == "champion" and move.get("to") for move in moved)


def _bar(axes: Axes, lane: str, start: float, end: float, colour: str, label: str) -> None:
    row = LANES.index(lane)
    axes.barh(row, end - start, left=start, height=0.5, color=colour, alpha=0.75, edgecolor="white")
    axes.text(start + 1, row, label, va="center", fontsize=8, color="white", clip_on=True)


def _mark(axes: Axes, lane: str, at: float, label: str, colour: str, below: bool = False) -> None:
    row = LANES.index(lane)
    axes.plot(at, row, "D", color=colour, markersize=6)
    axes.annotate(label, (at, row), (5, -11 if below else 5), textcoords="offset points", fontsize=8, color=colour)
