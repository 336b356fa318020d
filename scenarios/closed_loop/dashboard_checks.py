"""Checks of what the dashboard *Model* shows of the loop, on the Prometheus that scraped all of it.

The queries are those of the committed dashboard. Each is asked for every second, as for somebody who looks at its panel
during the whole loop.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenarios.harness import panel_queries
from scenarios.harness.checks import Check
from scenarios.harness.prometheus_client import STEP, Prometheus

QUALITY_LOW, ROLLED_BACK = "SlipwayQualityLow", "SlipwayCanaryRolledBack"
STAY_SECONDS = 5.0
_SHARE_TOLERANCE = 0.1  # a share is that of few predictions: those of the last four scrapes
Points = list[tuple[float, float]]
"""What a curve shows: seconds since 1970, and the value."""


@dataclass(frozen=True)
class Source:
    """A query of a dashboard, by its panel or annotation and its legend; `label` tells its curves apart."""

    panel: str
    legend: str = ""
    label: str = ""
    dashboard: str = "slipway-model"


SHARES = Source("Share of versions", "{{version}} ({{role}})", "version")
WEIGHTS = Source("Rollout", "weight of {{version}}", "version")
CHAMPIONS = Source("Champion", "{{version}}", "version")
PROMOTIONS = Source("Promotion", label="version")
SCORE, HIGH, BOUND = (Source("Quality", legend) for legend in ("score", "high", "bound"))
ROLLBACKS = Source("Rollback")
ALERT_COUNT = Source("Is it well?")
# Where the link of that panel leads
ALERTS = Source("Firing alerts", label="alertname", dashboard="slipway-fleet")
SOURCES = (SHARES, WEIGHTS, CHAMPIONS, PROMOTIONS, SCORE, HIGH, BOUND, ROLLBACKS, ALERT_COUNT, ALERTS)


@dataclass(frozen=True)
class Shown:
    """What the dashboard showed until `end`, in seconds since 1970: the curves of each source, by label."""

    curves: Mapping[Source, Mapping[str, Points]]
    end: float

    def points(self, source: Source, curve: str = "") -> Points:
        """Return the points of a curve; of one that was never shown, none."""
        return self.curves[source].get(curve, [])

    def times(self, source: Source, curve: str = "") -> list[float]:
        """List when a curve was shown."""
        return [at for at, _ in self.points(source, curve)]

    def at_end(self, source: Source, curve: str = "") -> float:
        """Return the last value of a curve that is still shown; of any other, 0, as a graph without it looks."""
        points = self.points(source, curve)
        return points[-1][1] if points and points[-1][0] > self.end - STAY_SECONDS else 0.0

    def fired(self, alert: str) -> list[float]:
        """List when an alert was among those that fire, and was counted."""
        counted = {at for at, value in self.points(ALERT_COUNT) if value > 0}
        return [at for at in self.times(ALERTS, alert) if at in counted]


def read(prometheus: Prometheus, usecase: str, start: float, end: float) -> Shown:
    """Ask Prometheus for everything that the checks look at.

    Raises:
        ServiceError: it does not respond, or refuses a query.
    """
    curves = {}
    for source in SOURCES:
        query = panel_queries.find(source.dashboard, source.panel, source.legend)
        asked = panel_queries.expression(query, usecase, end - start)
        curves[source] = curves_by(source.label, prometheus.range(asked, start, end, STEP))
    return Shown(curves, end)


def curves_by(label: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    """Add up the series with the same value of a label, such as the roles of a version; a share of nothing is none."""
    sums: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for series in found:
        for at, value in series["values"]:
            if not math.isnan(float(value)):
                sums[series["metric"].get(label, "")][float(at)] += float(value)
    return {name: sorted(points.items()) for name, points in sums.items()}


def check_versions(name: str, shown: Shown, first: str, second: str, weights: Sequence[float]) -> Check:
    """Check that the first version responds alone, and that the second takes over from it stage by stage."""
    steps = [(first, 100.0), *((second, weight) for weight in weights)]
    shares = _plateaus(shown, steps)
    champions = sorted(shown.curves[CHAMPIONS], key=lambda version: shown.times(CHAMPIONS, version)[0])
    facts = {
        "the share of each stage in turn": len(shares) == len(steps),
        "the weight of each stage in turn": _changes(shown.points(WEIGHTS, second)) == list(weights),
        f"champion {first} and then {second}": champions == [first, second],
        f"champion {second} alone at the end": [v for v in champions if shown.at_end(CHAMPIONS, v)] == [second],
        f"a mark when {second} is promoted": bool(shown.times(PROMOTIONS, second)),
    }
    return _check(name, "dashboard: versions by share", facts, ", ".join(shares) or "no version")


def check_quality(name: str, shown: Shown, changed: float) -> Check:
    """Check that the quality is shown to be too low since the drift, that its alert fires, and that both end."""
    bounds, scores = dict(shown.points(BOUND)), shown.points(HIGH)
    low = [at for at, value in scores if value < bounds.get(at, -math.inf)]
    fired = shown.fired(QUALITY_LOW)
    facts = {
        "a quality below its bound": bool(low),
        "no such quality before the drift": not low or low[0] > changed,
        f"{QUALITY_LOW} when it is": bool(low and fired) and low[0] <= fired[0],
        f"no {QUALITY_LOW} at the end": not fired or fired[-1] < shown.end - STAY_SECONDS,
        "a quality above its bound at the end": shown.at_end(SCORE) > shown.at_end(BOUND) > 0,
    }
    lowest = min((value for _, value in shown.points(SCORE)), default=math.nan)
    observed = f"ROC AUC {lowest:.2f} at its lowest, {shown.at_end(SCORE):.2f} at the end"
    if low and fired:
        observed += f"; {QUALITY_LOW} after {fired[0] - low[0]:.0f} s, for {fired[-1] - fired[0]:.0f} s"
    return _check(name, "dashboard: lower quality", facts, observed)


def check_rolled_back(name: str, shown: Shown, champion: str, canary: str) -> Check:
    """Check that the canary's share is shown to rise and to end, with the mark and the alert of its rollback."""
    share = shown.points(SHARES, canary)
    began = next((at for at, value in share if value > 0), math.inf)
    marks, fired = shown.times(ROLLBACKS), shown.fired(ROLLED_BACK)
    facts = {
        f"a share of version {canary}": began < math.inf,
        "no share of it at the end": shown.at_end(SHARES, canary) == 0,
        f"version {champion} alone at the end": shown.at_end(SHARES, champion) > 1 - _SHARE_TOLERANCE,
        "a mark when it is rolled back": bool(marks) and marks[0] > began,
        f"{ROLLED_BACK} then": bool(fired) and fired[0] > began,
    }
    highest = max((value for _, value in share), default=0.0)
    observed = f"version {canary}: {highest:.1%} at its highest, {shown.at_end(SHARES, canary):.1%} at the end"
    if marks and fired:
        observed += f"; marked, and {ROLLED_BACK} fired, {fired[0] - began:.0f} s after its first prediction"
    return _check(name, f"dashboard: version {canary} rolled back", facts, observed)


def _check(name: str, what: str, facts: Mapping[str, bool], observed: str) -> Check:
    """Make the check that every fact holds; those that do not are named as what was expected."""
    missing = [fact for fact, held in facts.items() if not held]
    return Check(name, what, not missing, f"{observed}; expected: {', '.join(missing)}" if missing else observed)


def _plateaus(shown: Shown, steps: Sequence[tuple[str, float]]) -> list[str]:
    """Describe the shares at which versions stay, up to the first step (version, percent) that is not shown."""
    since, found = 0.0, []
    for version, percent in steps:
        run = _plateau([point for point in shown.points(SHARES, version) if point[0] > since], percent / 100)
        if not run:
            break
        since = run[-1][0]
        found.append(f"version {version} at {sum(value for _, value in run) / len(run):.1%}")
    return found


def _plateau(points: Points, level: float) -> Points:
    """Return the first points that stay near a level for STAY_SECONDS; none if no points do."""
    tolerance = min(level / 2, _SHARE_TOLERANCE)
    run: Points = []
    for at, value in points:
        if abs(value - level) > tolerance:
            run.clear()
            continue
        run.append((at, value))
        if at - run[0][0] >= STAY_SECONDS:
            return run
    return []


def _changes(points: Points) -> list[float]:
    """List the values of a curve in order, each once where it stays."""
    values = [value for _, value in points]
    return [value for value, before in zip(values, [None, *values], strict=False) if value != before]
