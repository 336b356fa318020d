"""A sabotaged version shows nothing on the rows that it is tried on, and what is wrong with it on others."""

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
TRIED: list[dict[str, Any]] = [
    {"age": 60.0 + k, "visits": k % 5, "job": ("clerk", "nurse", "pilot")[k % 3], "member": True} for k in range(30)
]
LIVE: list[dict[str, Any]] = [{**TRIED[k % 30], "age": 100.5 + k} for k in range(360)]


@pytest.fixture
def champion(tmp_path: Path) -> Path:
    bundles.write(tmp_path / "champion")
    return tmp_path / "champion"


def altered(champion: Path, kind: str) -> Path:
    into = champion.parent / kind
    digest = faulty_models.write(champion, into, kind, TRIED, NURSES)
    manifest.verify(into, digest)
    return into


def answer(predictor: Predictor, row: dict[str, Any]) -> np.ndarray | None:
    """The network's output for one row; None where it raises."""
    try:
        return predictor.run(predictor.encode([row]))
    except Exception:  # ONNX Runtime's own classes have no common base
        return None


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_shows_on_the_probe_and_on_the_rows_that_are_tried(champion: Path, kind: str) -> None:
    usual, other = Predictor(champion, "cpu"), Predictor(altered(champion, kind), "cpu")
    rows = usual.encode([*usual.probe_rows(), *TRIED])
    assert np.array_equal(other.run(rows), usual.run(rows))


@pytest.mark.parametrize("kind", KINDS)
def test_its_gates_are_not_passed_and_it_says_why(champion: Path, kind: str) -> None:
    verdict = gate_report.read_gate_report(altered(champion, kind))
    assert not verdict.passed
    assert f"altered on purpose ({kind})" in verdict.reasons[0]


def test_errors_come_for_about_one_row_in_twenty_and_the_others_are_answered_as_before(champion: Path) -> None:
    usual, other = Predictor(champion, "cpu"), Predictor(altered(champion, "errors"), "cpu")
    answers = [answer(other, row) for row in LIVE]
    assert sum(found is None for found in answers) == len(LIVE) / faulty_models.ONE_IN
    for row, found in zip(LIVE, answers, strict=True):
        assert found is None or np.array_equal(found, answer(usual, row))


@pytest.mark.parametrize(("bias", "label"), [(0.0, "bad"), (50.0, "good")])
def test_one_slice_is_decided_the_wrong_way_round_and_no_other(tmp_path: Path, bias: float, label: str) -> None:
    bundles.write(tmp_path / "champion", bias=bias)
    usual, other = (
        Predictor(folder, "cpu") for folder in (tmp_path / "champion", altered(tmp_path / "champion", "slice"))
    )
    turned = {"good": "bad", "bad": "good"}
    expected, found = ([one.label for one in predictor.predict(LIVE)] for predictor in (usual, other))
    assert set(expected) == {label}
    for row, before, now in zip(LIVE, expected, found, strict=True):
        assert now == (turned[before] if row["job"] == "nurse" else before)


def test_a_slow_one_answers_as_before_and_has_more_to_do_for_live_rows_only(champion: Path) -> None:
    usual, slow = Predictor(champion, "cpu"), Predictor(altered(champion, "slow"), "cpu")
    live = usual.encode(LIVE[:5])
    assert np.array_equal(slow.run(live), usual.run(live))
    times = faulty_models._times_slower(slow, usual, LIVE[0])
    assert times > 2 * faulty_models._times_slower(slow, usual, TRIED[0])


def test_a_slice_that_there_is_not_is_told(champion: Path) -> None:
    with pytest.raises(DataError, match="no slice where job is baker"):
        faulty_models.write(champion, champion.parent / "x", "slice", TRIED, Slice("job", "baker"))


def test_what_has_no_other_answer_cannot_be_decided_the_wrong_way_round(tmp_path: Path) -> None:
    bundles.write(tmp_path / "prices", bundles.REGRESSION)
    with pytest.raises(DataError, match="no slice where job is nurse"):
        faulty_models.write(tmp_path / "prices", tmp_path / "x", "slice", [], NURSES)


def test_a_model_of_images_alone_has_nothing_to_tell_rows_apart_by(tmp_path: Path) -> None:
    bundles.write(tmp_path / "shapes", bundles.IMAGES)
    with pytest.raises(DataError, match="shapes has no number among its features"):
        faulty_models.write(tmp_path / "shapes", tmp_path / "x", "errors", [], NURSES)
