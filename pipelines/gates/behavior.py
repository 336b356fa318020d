"""Behavioral tests that a use case declares: invariance to features, and monotonicity in numbers."""

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


def invariance(candidate: Candidate) -> list[Gate]:
    """Require decisions not to depend on the features of `gates.invariant`, for all rows but `gates.max_variant`."""
    names = candidate.usecase.gates.invariant
    test = PerturbationTest.of(candidate) if names else None
    return [_check_invariance(test, candidate.challenger.schema.by_name[name]) for name in names if test]


def directions(candidate: Candidate) -> list[Gate]:
    """Require outputs to rise or fall with the numbers of `gates.directions`, for all rows but `gates.max_against`."""
    declared = candidate.usecase.gates.directions
    test = PerturbationTest.of(candidate) if declared else None
    return [_check_direction(test, name, way) for name, way in declared.items() if test]


def require_testable(usecase: UseCase) -> None:
    """Raise UseCaseError for an invariant image, and for a direction of a multiclass task or of no number."""
    features = {feature.name: feature for feature in usecase.features}
    for name in usecase.gates.invariant:
        if features[name].kind == "image":
            raise UseCaseError(
                f"{usecase.name}: gates.invariant: {name} is an image, which has no other value to try: remove it."
            )
    for name in usecase.gates.directions:
        if usecase.task == "multiclass":
            raise UseCaseError(
                f"{usecase.name}: gates.directions: a multiclass task has no score that goes up or down: remove {name}."
            )
        if features[name].kind not in ("number", "integer") or features[name].private:
            raise UseCaseError(
                f"{usecase.name}: gates.directions: {name} is not a number that the network sees: name another feature."
            )


def _check_invariance(test: PerturbationTest, feature: Feature) -> Gate:
    label, most = f"invariance:{feature.name}", test.candidate.usecase.gates.max_variant
    if not feature.is_input:
        return Gate(label, 0.0, most, "passed", f"{feature.name} is never an input of the network.")
    others = _other_values(column(test.rows, feature.name), feature)
    rows = [{**row, feature.name: other} for row, other in zip(test.rows, others, strict=True)]
    found = mean(test.changed(test.predict(test.rows), test.predict(rows)))
    assert found.low is not None
    sentence = f"{test.where}, with another {feature.name} in each, {format_share(found)} {test.change}"
    verdict = "failed" if found.low > most else "passed"
    return Gate(label, found.low, most, verdict, f"{sentence}; at most {most:.1%} may.")


def _other_values(values: list, feature: Feature) -> list:
    """Draw for each row a different value from the vocabulary, or from the other rows."""
    rng, known = np.random.default_rng(SEED), [value for value in values if value is not None]
    choice = {"category": feature.vocabulary, "boolean": (False, True)}.get(feature.kind) or sorted(set(known))
    return [_draw_other(value, choice, rng) for value in values]


def _draw_other(value: object, choice: tuple | list, rng: np.random.Generator) -> object:
    left = [other for other in choice if other != value]
    return left[rng.integers(len(left))] if left else value


def _check_direction(test: PerturbationTest, name: str, way: str) -> Gate:
    most, sign = test.candidate.usecase.gates.max_against, 1 if way == "up" else -1
    label, positive = f"direction:{name}", test.candidate.challenger.schema.positive
    values, higher = column(test.rows, name), _higher_values(column(test.rows, name))
    raised = [{**row, name: more} for row, more in zip(test.rows, higher, strict=True)]
    could = np.array([value != more for value, more in zip(values, higher, strict=True)])
    if not could.any():
        return Gate(label, None, most, "passed", f"{test.where} no {name} is higher than another.")
    rise = _directed_output(test, raised) - _directed_output(test, test.rows)
    found = mean((sign * rise < -_TOLERANCE * test.scale())[could])
    assert found.low is not None
    what, against = f"P({positive})" if positive else "the value", "down" if way == "up" else "up"
    sentence = (
        f"{test.where}, with a higher {name} in {could.sum():,} of them, {what} goes {against} by more than "
        f"{_TOLERANCE * test.scale():.2g} in {format_share(found)}"
    )
    verdict = "failed" if found.low > most else "passed"
    return Gate(label, found.low, most, verdict, f"{sentence}; at most {most:.1%} may.")


def _higher_values(values: list) -> list:
    """Draw for each value a higher one from the other rows; the highest value, and a missing one, stay."""
    rng, known = np.random.default_rng(SEED), np.sort([value for value in values if value is not None])
    above = [len(known) if value is None else int(np.searchsorted(known, value, "right")) for value in values]
    return [
        value if start == len(known) else known[rng.integers(start, len(known))].item()
        for value, start in zip(values, above, strict=True)
    ]


def _directed_output(test: PerturbationTest, rows: list[Row]) -> np.ndarray:
    """Return P(positive), or the value, of each row."""
    outputs = test.predict(rows).outputs
    return outputs[:, test.candidate.challenger.schema.positive_index or 0].astype("float64")
