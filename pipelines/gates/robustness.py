"""What small disturbances of the inputs cost: the score that is lost, and the decisions that become others."""

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


def robustness(judged: Candidate) -> list[Gate]:
    """Two verdicts for each disturbance: both within `gates.robustness`, as far as chance lets one say."""
    asked = PerturbationTest.of(judged)
    before = asked.answers(asked.rows)
    return [verdict for kind in PERTURBATIONS for verdict in _verdicts(asked, kind, before)]


def format_share(found: Interval) -> str:
    """The interval of a share, for a sentence."""
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _verdicts(asked: PerturbationTest, kind: str, before: Scored) -> Iterator[Gate]:
    budget = asked.judged.usecase.gates.robustness
    size: float = getattr(budget, kind)
    disturbed = PERTURBATIONS[kind](asked.rows, asked.judged.challenger.schema, size, np.random.default_rng(SEED))
    if not size or disturbed is None:
        return
    after = asked.answers(disturbed)
    yield _score(asked, kind, difference(after, before, asked.judged.metric))
    yield _decisions(asked, kind, mean(asked.changed(before, after)))


def _score(asked: PerturbationTest, kind: str, found: Interval) -> Gate:
    label, most, title = (
        f"robustness:{kind}:score",
        asked.judged.usecase.gates.robustness.max_drop,
        asked.judged.metric.title,
    )
    where = f"{asked.where}, disturbed by {_words(asked, kind)},"
    if found.high is None:
        return Gate(label, None, -most, "passed", f"{where} {title} is not defined.")
    verdict, not_ = ("failed", "") if found.high < -most else ("passed", "not ")
    told = f"{where} its {title} differs from that on the rows as they are by {format_difference(found)}"
    return Gate(label, found.high, -most, verdict, f"{told}: {not_}worse by more than {most:g}.")


def _decisions(asked: PerturbationTest, kind: str, found: Interval) -> Gate:
    assert found.low is not None
    most = asked.judged.usecase.gates.robustness.max_changed
    told = f"{asked.where}, disturbed by {_words(asked, kind)}, {format_share(found)} of the decisions change"
    verdict = "failed" if found.low > most else "passed"
    return Gate(f"robustness:{kind}:decisions", found.low, most, verdict, f"{told}; at most {most:.1%} may.")


def _words(asked: PerturbationTest, kind: str) -> str:
    size = getattr(asked.judged.usecase.gates.robustness, kind)
    return {
        "numbers": f"noise of {size:g} standard deviations on the numbers",
        "missing": f"{size:.0%} missing values",
        "other": f"{size:.0%} unknown categories",
        "noise": f"noise of {size:.0%} on the pixels",
        "brightness": f"a brightness of ± {size:.0%}",
        "rotation": f"a rotation by ± {size:g}°",
    }[kind]
