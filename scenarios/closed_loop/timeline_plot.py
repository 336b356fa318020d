"""The whole loop as one picture: how good the answers were, who gave them, and what happened when and why."""

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
LEAST_ROWS = 60
LANES = ("champion", "rollout", "gates", "retraining", "verdicts")
_COLOURS = ("#2563a8", "#1f8a4c", "#c0392b", "#8250a0")
_GREY, _INK = "#8a8f98", "#22262b"
_GOOD, _BAD = "#1f8a4c", "#c0392b"
_STAGES = ("canary.began", "canary.advanced", "canary.finished", "canary.rolled_back", "canary.ended")
_ENDS = _STAGES[2:]


@dataclass(frozen=True)
class Timeline:
    """What `slipway history --json` and the monitors' verdicts say, and `answers`: a row per answered prediction, with
    `at` [s since `began`], `version`, and, where the label has come, `truth` (0 or 1) and `score`.

    `changed` is when the world did [s].
    """

    history: Mapping[str, Any]
    verdicts: Sequence[Mapping[str, Any]]
    answers: pd.DataFrame
    began: datetime
    changed: float

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        return self.history["events"]

    def at(self, event: Mapping[str, Any]) -> float:
        return self.seconds(event["at"])

    def seconds(self, moment: str) -> float:
        return (datetime.fromisoformat(moment) - self.began).total_seconds()

    @property
    def end(self) -> float:
        return max([self.answers["at"].max(), *map(self.at, self.events)])

    def colour(self, version: str | None) -> str:
        versions = sorted(set(self.answers["version"]), key=int)
        return _COLOURS[versions.index(version) % len(_COLOURS)] if version in versions else _GREY


def of_log(
    usecase: UseCase, history: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]], changed: datetime
) -> Timeline:
    """The scene of a loop that has just ended: what was told of it, and its prediction log."""
    log = Log(settings())
    columns = '"slipway.row_id" AS id, epoch("@timestamp") AS at, "slipway.model_version" AS version'
    answers = log.predictions(usecase.name).select(columns).df()
    scored = log.labelled(usecase.name).select('"slipway.row_id" AS id, "slipway.score" AS score, label_true').df()
    scored["truth"] = (scored.pop("label_true") == usecase.target.positive).astype(float)
    began = datetime.fromtimestamp(float(answers["at"].min()), tz=changed.tzinfo)
    answers["at"] -= answers["at"].min()
    answers = answers.merge(scored, on="id", how="left")
    return Timeline(history, verdicts, answers, began, (changed - began).total_seconds())


def draw(scene: Timeline, path: Path) -> Path:
    """The picture as PNG at `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "text.color": _INK}
    with pyplot.rc_context(style):
        figure, (quality, share, lanes) = pyplot.subplots(
            3, 1, figsize=(14, 9), sharex=True, height_ratios=(3, 2, 3.4), constrained_layout=True
        )
        figure.suptitle("The loop: from a change in the world to a better champion, and a bad canary taken back")
        _quality(quality, scene)
        _shares(share, scene)
        _happened(lanes, scene)
        for axes in (quality, share, lanes):
            axes.axvline(scene.changed, color=_INK, linestyle=":", linewidth=1.2)
        quality.annotate("the world changes", (scene.changed, 1.0), (4, -2), textcoords="offset points", va="top")
        lanes.set_xlabel("seconds since the first prediction")
        lanes.set_xlim(min(0.0, *map(scene.at, scene.events)) if scene.events else 0.0, scene.end * 1.02)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
        pyplot.close(figure)
    return path


def aucs(answers: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """ROC AUC of the labelled answers by time, in bins of BIN_SECONDS: their middles [s], and the scores."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    middles, scores = [], []
    known = answers.dropna(subset=["truth"])
    for number, rows in known.groupby(known["at"] // BIN_SECONDS):
        if len(rows) >= LEAST_ROWS and rows["truth"].nunique() == 2:
            middles.append((number + 0.5) * BIN_SECONDS)
            scores.append(roc_auc_score(rows["truth"], rows["score"]))
    return np.array(middles), np.array(scores)


def _quality(axes: Axes, scene: Timeline) -> None:
    for version, answers in scene.answers.groupby("version"):
        middles, scores = aucs(answers)
        axes.plot(middles, scores, marker="o", markersize=3, color=scene.colour(version), label=f"version {version}")
    middles, scores = aucs(scene.answers)
    axes.plot(middles, scores, color=_GREY, linewidth=4, alpha=0.35, zorder=0, label="what callers got")
    axes.set_ylim(0, 1)
    axes.set_ylabel("ROC AUC of labelled\nanswers, by time of answer")
    axes.legend(loc="lower right", frameon=False, ncols=4)


def _shares(axes: Axes, scene: Timeline) -> None:
    import numpy as np

    edges = np.arange(0, scene.end + BIN_SECONDS / 4, BIN_SECONDS / 4)
    versions = sorted(set(scene.answers["version"]), key=int)
    counts = [np.histogram(scene.answers.loc[scene.answers["version"] == v, "at"], edges)[0] for v in versions]
    total = np.maximum(np.sum(counts, axis=0), 1)
    axes.stackplot(
        edges[:-1], [100 * count / total for count in counts], colors=[scene.colour(v) for v in versions], alpha=0.75
    )
    axes.set_ylim(0, 100)
    axes.set_ylabel("answers by version [%]")


def _happened(axes: Axes, scene: Timeline) -> None:
    axes.set_yticks(range(len(LANES)), LANES)
    axes.set_ylim(-0.6, len(LANES) - 0.4)
    axes.invert_yaxis()
    axes.grid(axis="y", color="#e6e8eb")
    axes.set_axisbelow(True)
    _champions(axes, scene)
    _rollouts(axes, scene)
    _runs(axes, scene)
    for event in scene.events:
        if event["action"] == "registered":
            _gates(axes, scene, event)
        elif event["action"] == "overridden":
            _mark(axes, "gates", scene.at(event), "override", _BAD, below=True)
    refused = [scene.at(event) for event in scene.events if event["action"] == "retraining.refused"]
    for number, at in enumerate(refused):
        _mark(axes, "retraining", at, "" if number else "refused", _GREY)
    for verdict in scene.verdicts:
        is_bad = verdict["verdict"] == "drift" or any(
            metric["worse"] for metric in (verdict["quality"] or {"metrics": {}})["metrics"].values()
        )
        colour = _BAD if is_bad else _GOOD
        axes.plot(scene.seconds(verdict["created"]), LANES.index("verdicts"), "o", color=colour, markersize=5)


def _champions(axes: Axes, scene: Timeline) -> None:
    moves = [(scene.at(event), str(event["version"])) for event in scene.events if _crowned(event)]
    for (start, version), (end, _) in zip(moves, [*moves[1:], (scene.end, "")], strict=True):
        _bar(axes, "champion", start, end, scene.colour(version), f"version {version}")


def _rollouts(axes: Axes, scene: Timeline) -> None:
    """A bar per stage, labelled by its weight, and how it ended."""
    stages = [event for event in scene.events if event["action"] in _STAGES]
    for event, following in zip(stages, [*stages[1:], None], strict=True):
        if event["action"] in _ENDS:
            bad = event["action"] != "canary.finished"
            _mark(axes, "rollout", scene.at(event), "taken back" if bad else "", _BAD if bad else _GOOD)
            continue
        end = scene.at(following) if following else scene.end
        weight = event["evidence"].get("weight")
        label = f"{weight:g} %" if weight is not None else ""
        _bar(axes, "rollout", scene.at(event), end, scene.colour(str(event["version"])), label)


def _runs(axes: Axes, scene: Timeline) -> None:
    """From the start of a run to the version that it registered."""
    registered = [scene.at(event) for event in scene.events if event["action"] == "registered"]
    for event in scene.events:
        if event["action"] == "retraining.started":
            start = scene.at(event)
            end = min((at for at in registered if at > start), default=scene.end)
            _bar(axes, "retraining", start, end, _GREY, "training run")


def _gates(axes: Axes, scene: Timeline, event: Mapping[str, Any]) -> None:
    found = next(each for each in scene.history["versions"] if each["version"] == event["version"])
    verdicts = [gate["verdict"] for gate in found["gates"] or []]
    is_bad = found["gate"] != "passed"
    waived = f", {verdicts.count('waived')} waived" if "waived" in verdicts else ""
    _mark(
        axes,
        "gates",
        scene.at(event),
        f"version {event['version']}: {found['gate']}{waived}",
        _BAD if is_bad else _GOOD,
    )


def _crowned(event: Mapping[str, Any]) -> bool:
    """Whether the event made its version the champion."""
    moved = event["evidence"].get("moved") or [event["evidence"]]
    return any(move.get("alias") == "champion" and move.get("to") for move in moved)


def _bar(axes: Axes, lane: str, start: float, end: float, colour: str, label: str) -> None:
    place = LANES.index(lane)
    axes.barh(place, end - start, left=start, height=0.5, color=colour, alpha=0.75, edgecolor="white")
    axes.text(start + 1, place, label, va="center", fontsize=8, color="white", clip_on=True)


def _mark(axes: Axes, lane: str, at: float, label: str, colour: str, below: bool = False) -> None:
    place = LANES.index(lane)
    axes.plot(at, place, "D", color=colour, markersize=6)
    axes.annotate(label, (at, place), (5, -11 if below else 5), textcoords="offset points", fontsize=8, color=colour)
