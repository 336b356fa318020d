"""Robustness to small perturbations of the inputs: loss of score, and changed decisions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipelines.gates.candidate import Candidate
from pipelines.gates.comparison import format_difference
from pipelines.gates.perturbation_test import SEED, PerturbationTest
from pipelines.gates.perturbations import PERTURBATIONS
from slipway.contracts.bundle.gate_report import Gate
from slipway.evaluation.bootstrap import Interval, difference, mean
from slipway.evaluation.metrics import Scored


def robustness(candidate: Candidate) -> list[Gate]:
    """Limit the loss of score and the share of changed decisions under each perturbation, by `gates.robustness`."""
    test = PerturbationTest.of(candidate)
    before = test.predict(test.rows)
    return [verdict for kind in PERTURBATIONS for verdict in _check(test, kind, before)]


def format_share(found: Interval) -> str:
    """Format the interval of a share for a sentence."""
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _check(test: PerturbationTest, kind: str, before: Scored) -> Iterator[Gate]:
    budget = test.candidate.usecase.gates.robustness
    size: float = getattr(budget, kind)
    perturbed = PERTURBATIONS[kind](test.rows, test.candidate.challenger.schema, size, np.random.default_rng(SEED))
    if not size or perturbed is None:
        return
    after = test.predict(perturbed)
    yield _check_score(test, kind, difference(after, before, test.candidate.metric))
    yield _check_decisions(test, kind, mean(test.changed(before, after)))


def _check_score(test: PerturbationTest, kind: str, found: Interval) -> Gate:
    label, most, title = (
        f"robustness:{kind}:score",
        test.candidate.usecase.gates.robustness.max_drop,
        test.candidate.metric.title,
    )
    where = f"{test.where}, disturbed by {_describe(test, kind)},"
    if found.high is None:
        return Gate(label, None, -most, "passed", f"{where} {title} is not defined.")
    verdict, not_ = ("failed", "") if found.high < -most else ("passed", "not ")
    sentence = f"{where} its {title} differs from that on the rows as they are by {format_difference(found)}"
    return Gate(label, found.high, -most, verdict, f"{sentence}: {not_}worse by more than {most:g}.")


def _check_decisions(test: PerturbationTest, kind: str, found: Interval) -> Gate:
    assert found.low is not None
    most = test.candidate.usecase.gates.robustness.max_changed
    sentence = f"{test.where}, disturbed by {_describe(test, kind)}, {format_share(found)} of the decisions change"
    verdict = "failed" if found.low > most else "passed"
    return Gate(f"robustness:{kind}:decisions", found.low, most, verdict, f"{sentence}; at most {most:.1%} may.")


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
