"""Robustness to small perturbations of the inputs: loss of score, and changed decisions.

A bound that the use case does not declare refuses a model only if the baseline model loses less by the perturbation,
and this one is shown to be worse than it on the perturbed rows, and not shown to be better on the rows as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from pipelines.gates.candidate import Candidate
from pipelines.gates.comparison import format_difference
from pipelines.gates.perturbation_test import SEED, PerturbationTest
from pipelines.gates.perturbations import PERTURBATIONS
from slipway.contracts.bundle.gate_report import Gate
from slipway.evaluation.bootstrap import Interval, difference, mean
from slipway.evaluation.metrics import Scored
from slipway.inference import Row


@dataclass(frozen=True)
class Perturbed:
    """The rows of a test after one kind of perturbation, and the model's predictions before and after it."""

    test: PerturbationTest
    kind: str
    rows: list[Row]
    before: Scored
    after: Scored

    @property
    def where(self) -> str:
        """The rows and the perturbation, the beginning of a sentence."""
        return f"{self.test.where}, disturbed by {_describe(self.test, self.kind)},"

    def difference(self, before: Scored, after: Scored) -> Interval:
        """How much better the score is after the perturbation."""
        return difference(after, before, self.test.candidate.metric)

    def changed(self, before: Scored, after: Scored) -> Interval:
        """The share of rows whose decision the perturbation changes."""
        return mean(self.test.changed(before, after))


def robustness(candidate: Candidate) -> list[Gate]:
    """Limit the loss of score and the share of changed decisions under each perturbation, by `gates.robustness`."""
    test = PerturbationTest.of(candidate)
    before = test.predict(test.rows)
    perturbed = filter(None, (_perturb(test, kind, before) for kind in PERTURBATIONS))
    return [gate for each in perturbed for gate in (_check_score(each), _check_decisions(each))]


def format_share(found: Interval) -> str:
    """Format the interval of a share for a sentence."""
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _perturb(test: PerturbationTest, kind: str, before: Scored) -> Perturbed | None:
    """Perturb the rows; None if the use case has no such feature, or wants none of it."""
    size: float = getattr(test.candidate.usecase.gates.robustness, kind)
    rows = PERTURBATIONS[kind](test.rows, test.candidate.challenger.schema, size, np.random.default_rng(SEED))
    return Perturbed(test, kind, rows, before, test.predict(rows)) if size and rows is not None else None


def _check_score(each: Perturbed) -> Gate:
    candidate = each.test.candidate
    most, title = candidate.usecase.gates.robustness.max_drop, candidate.metric.title
    label, found = f"robustness:{each.kind}:score", each.difference(each.before, each.after)
    if found.high is None:
        return Gate(label, None, -most, "passed", f"{each.where} {title} is not defined.")
    verdict, not_ = ("failed", "") if found.high < -most else ("passed", "not ")
    sentence = f"{each.where} its {title} differs from that on the rows as they are by {format_difference(found)}"
    gate = Gate(label, found.high, -most, verdict, f"{sentence}: {not_}worse by more than {most:g}.")
    return _relative_to_baseline(each, gate, "max_drop", lambda *scored: -(each.difference(*scored).value or 0.0))


def _check_decisions(each: Perturbed) -> Gate:
    found, most = each.changed(each.before, each.after), each.test.candidate.usecase.gates.robustness.max_changed
    assert found.low is not None
    sentence = f"{each.where} {format_share(found)} {each.test.change}; at most {most:.1%} may."
    verdict = "failed" if found.low > most else "passed"
    gate = Gate(f"robustness:{each.kind}:decisions", found.low, most, verdict, sentence)
    return _relative_to_baseline(each, gate, "max_changed", lambda *scored: each.changed(*scored).value or 0.0)


def _relative_to_baseline(each: Perturbed, gate: Gate, bound: str, loss: Callable[[Scored, Scored], float]) -> Gate:
    """Let a failed gate pass if nobody declared its bound, and the baseline model is not the better one."""
    candidate = each.test.candidate
    if not gate.failed or bound in candidate.usecase.gates.robustness.model_fields_set:
        return gate
    before, after = (each.test.predict_baseline(rows) for rows in (each.test.rows, each.rows))
    metric, name = candidate.skill_metric, candidate.baseline.name
    if loss(before, after) >= loss(each.before, each.after):
        reason = f"{name} loses no less by it"
    elif (there := difference(each.after, after, metric)).high is not None and there.high > 0:
        reason = f"its {metric.title} there differs from that of {name} by {format_difference(there)}"
    elif (as_they_are := difference(each.before, before, metric)).low is not None and as_they_are.low > 0:
        better = format_difference(as_they_are)
        reason = f"on the rows as they are its {metric.title} is better than that of {name}: {better}"
    else:
        advice = f"Train with more rows, or declare gates.robustness.{bound}, or {each.kind}: 0 for no such test."
        return msgspec.structs.replace(gate, sentence=f"{gate.sentence} It is worse there than {name}, too. {advice}")
    sentence = f"{gate.sentence} The use case does not declare gates.robustness.{bound}, and {reason}."
    return msgspec.structs.replace(gate, verdict="passed", sentence=sentence)


def _describe(test: PerturbationTest, kind: str) -> str:
    size = getattr(test.candidate.usecase.gates.robustness, kind)
    return {
        "numbers": f"noise of {size:g} standard deviations on the numbers",
        "missing": f"{size:.0%} missing values",
        "other": f"{size:.0%} unknown categories",
        "noise": f"noise of {size:.0%} on the pixels",
        "brightness": f"a brightness of ± {size:.0%}",
        "rotation": f"a rotation by ± {size:g}°",
    }[kind]
