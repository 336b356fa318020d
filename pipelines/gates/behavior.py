"""What a use case declares of its model: features that must not matter, and numbers that matter one way only."""

from __future__ import annotations

import numpy as np

from pipelines.gates.candidate import Candidate
from pipelines.gates.perturbation_test import SEED, PerturbationTest
from pipelines.gates.perturbations import column
from pipelines.gates.robustness import format_share
from slipway.config import UseCase
from slipway.contracts.bundle.gate_report import Gate
from slipway.contracts.schema import Feature
from slipway.errors import UseCaseError
from slipway.evaluation.bootstrap import mean
from slipway.inference import Row

_TOLERANCE = 0.01  # of a probability, or of the target's standard deviation


def invariance(judged: Candidate) -> list[Gate]:
    """Another value of the feature leaves the decision as it is, but for a share of rows: `gates.max_variant`."""
    names = judged.usecase.gates.invariant
    asked = PerturbationTest.of(judged) if names else None
    return [_invariance(asked, judged.challenger.schema.by_name[name]) for name in names if asked]


def directions(judged: Candidate) -> list[Gate]:
    """A higher value, everything else the same, moves the answer one way, but for a share: `gates.max_against`."""
    declared = judged.usecase.gates.directions
    asked = PerturbationTest.of(judged) if declared else None
    return [_direction(asked, name, way) for name, way in declared.items() if asked]


def require_testable(usecase: UseCase) -> None:
    """Raises UseCaseError for an invariant image, and for a direction of what is no number or has several classes."""
    features = {feature.name: feature for feature in usecase.features}
    for name in usecase.gates.invariant:
        if features[name].kind == "image":
            raise UseCaseError(f"{usecase.name}: gates.invariant: {name} is an image, for which no other can stand.")
    for name in usecase.gates.directions:
        if usecase.task == "multiclass":
            raise UseCaseError(
                f"{usecase.name}: gates.directions: a multiclass task has no score that goes up or down: remove {name}."
            )
        if features[name].kind not in ("number", "integer") or features[name].private:
            raise UseCaseError(
                f"{usecase.name}: gates.directions: {name} is not a number that the network sees: name another feature."
            )


def _invariance(asked: PerturbationTest, feature: Feature) -> Gate:
    label, most = f"invariance:{feature.name}", asked.judged.usecase.gates.max_variant
    if not feature.is_input:
        return Gate(label, 0.0, most, "passed", f"{feature.name} is never an input of the network.")
    values = column(asked.rows, feature.name)
    others = _others(values, feature)
    rows = [{**row, feature.name: other} for row, other in zip(asked.rows, others, strict=True)]
    found = mean(asked.changed(asked.answers(asked.rows), asked.answers(rows)))
    assert found.low is not None
    told = f"{asked.where}, with another {feature.name} in each, {format_share(found)} of the decisions change"
    verdict = "failed" if found.low > most else "passed"
    return Gate(label, found.low, most, verdict, f"{told}; at most {most:.1%} may.")


def _others(values: list, feature: Feature) -> list:
    """For each row a value that it has not: of the vocabulary, or of the other rows."""
    rng, known = np.random.default_rng(SEED), [value for value in values if value is not None]
    choice = {"category": feature.vocabulary, "boolean": (False, True)}.get(feature.kind) or sorted(set(known))
    return [_another(value, choice, rng) for value in values]


def _another(value: object, choice: tuple | list, rng: np.random.Generator) -> object:
    left = [other for other in choice if other != value]
    return left[rng.integers(len(left))] if left else value


def _direction(asked: PerturbationTest, name: str, way: str) -> Gate:
    most, sign = asked.judged.usecase.gates.max_against, 1 if way == "up" else -1
    label, positive = f"direction:{name}", asked.judged.challenger.schema.positive
    values, higher = column(asked.rows, name), _higher(column(asked.rows, name))
    raised = [{**row, name: more} for row, more in zip(asked.rows, higher, strict=True)]
    could = np.array([value != more for value, more in zip(values, higher, strict=True)])
    if not could.any():
        return Gate(label, None, most, "passed", f"{asked.where} no {name} is higher than another.")
    rise = _answer(asked, raised) - _answer(asked, asked.rows)
    found = mean((sign * rise < -_TOLERANCE * asked.scale())[could])
    assert found.low is not None
    what, against = f"P({positive})" if positive else "the value", "down" if way == "up" else "up"
    told = (
        f"{asked.where}, with a higher {name} in {could.sum():,} of them, {what} goes {against} by more than "
        f"{_TOLERANCE * asked.scale():.2g} in {format_share(found)}"
    )
    verdict = "failed" if found.low > most else "passed"
    return Gate(label, found.low, most, verdict, f"{told}; at most {most:.1%} may.")


def _higher(values: list) -> list:
    """For each value one of the other rows' that is higher; the highest, and what is missing, stay."""
    rng, known = np.random.default_rng(SEED), np.sort([value for value in values if value is not None])
    above = [len(known) if value is None else int(np.searchsorted(known, value, "right")) for value in values]
    return [
        value if start == len(known) else known[rng.integers(start, len(known))].item()
        for value, start in zip(values, above, strict=True)
    ]


def _answer(asked: PerturbationTest, rows: list[Row]) -> np.ndarray:
    """P(positive), or the value, of each row."""
    outputs = asked.answers(rows).outputs
    return outputs[:, asked.judged.challenger.schema.positive_index or 0].astype("float64")
