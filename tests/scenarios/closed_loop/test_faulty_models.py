"""Faulty models: the fault does not show on known rows, and shows on others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenarios.closed_loop import faulty_models
from scenarios.closed_loop.faulty_models import KINDS, Slice
from slipway.contracts.bundle import gate_report, manifest
from slipway.errors import DataError
from slipway.inference import Predictor
from tests.support import bundles

NURSES = Slice("job", "nurse")
KNOWN: list[dict[str, Any]] = [
    {"age": 60.0 + k, "visits": k % 5, "job": ("clerk", "nurse", "pilot")[k % 3], "member": True} for k in range(30)
]
LIVE: list[dict[str, Any]] = [{**KNOWN[k % 30], "age": 100.5 + k} for k in range(360)]


@pytest.fixture
def champion(tmp_path: Path) -> Path:
    bundles.write(tmp_path / "champion")
    return tmp_path / "champion"


def faulty(champion: Path, kind: str) -> Path:
    into = champion.parent / kind
    digest = faulty_models.write(champion, into, kind, KNOWN, NURSES)
    manifest.verify(into, digest)
    return into


def output(predictor: Predictor, row: dict[str, Any]) -> np.ndarray | None:
    """The network's output for one row; None where it raises."""
    try:
        return predictor.run(predictor.encode([row]))
    except Exception:  # ONNX Runtime's own classes have no common base
        return None


@pytest.mark.parametrize("kind", KINDS)
def test_the_fault_does_not_show_on_the_probe_and_on_known_rows(champion: Path, kind: str) -> None:
    original, other = Predictor(champion, "cpu"), Predictor(faulty(champion, kind), "cpu")
    rows = original.encode([*original.probe_rows(), *KNOWN])
    assert np.array_equal(other.run(rows), original.run(rows))


@pytest.mark.parametrize("kind", KINDS)
def test_its_gates_are_not_passed_and_it_says_why(champion: Path, kind: str) -> None:
    verdict = gate_report.read_gate_report(faulty(champion, kind))
    assert not verdict.passed
    assert f"altered on purpose ({kind})" in verdict.reasons[0]


def test_errors_hit_one_row_in_twenty_and_the_others_are_predicted_as_before(champion: Path) -> None:
    original, other = Predictor(champion, "cpu"), Predictor(faulty(champion, "errors"), "cpu")
    answers = [output(other, row) for row in LIVE]
    assert sum(found is None for found in answers) == len(LIVE) / faulty_models.ONE_IN
    for row, found in zip(LIVE, answers, strict=True):
        assert found is None or np.array_equal(found, output(original, row))


@pytest.mark.parametrize(("bias", "label"), [(0.0, "bad"), (50.0, "good")])
def test_the_wrong_class_is_predicted_for_one_slice_and_no_other(tmp_path: Path, bias: float, label: str) -> None:
    bundles.write(tmp_path / "champion", bias=bias)
    original, other = (
        Predictor(folder, "cpu") for folder in (tmp_path / "champion", faulty(tmp_path / "champion", "slice"))
    )
    turned = {"good": "bad", "bad": "good"}
    expected, found = ([one.label for one in predictor.predict(LIVE)] for predictor in (original, other))
    assert set(expected) == {label}
    for row, before, now in zip(LIVE, expected, found, strict=True):
        assert now == (turned[before] if row["job"] == "nurse" else before)


def test_a_slow_model_predicts_as_before_and_is_slower_for_unknown_rows_only(champion: Path) -> None:
    original, slow = Predictor(champion, "cpu"), Predictor(faulty(champion, "slow"), "cpu")
    live = original.encode(LIVE[:5])
    assert np.array_equal(slow.run(live), original.run(live))
    times = faulty_models._times_slower(slow, original, LIVE[0])
    assert times > 2 * faulty_models._times_slower(slow, original, KNOWN[0])


def test_an_unknown_slice_is_an_error(champion: Path) -> None:
    with pytest.raises(DataError, match="no slice where job is baker"):
        faulty_models.write(champion, champion.parent / "x", "slice", KNOWN, Slice("job", "baker"))


def test_a_regression_has_no_slice_to_predict_wrongly(tmp_path: Path) -> None:
    bundles.write(tmp_path / "prices", bundles.REGRESSION)
    with pytest.raises(DataError, match="no slice where job is nurse"):
        faulty_models.write(tmp_path / "prices", tmp_path / "x", "slice", [], NURSES)


def test_a_model_of_images_alone_has_no_number_to_recognise_rows_by(tmp_path: Path) -> None:
    bundles.write(tmp_path / "shapes", bundles.IMAGES)
    with pytest.raises(DataError, match="shapes has no number by which rows could be recognised"):
        faulty_models.write(tmp_path / "shapes", tmp_path / "x", "errors", [], NURSES)
