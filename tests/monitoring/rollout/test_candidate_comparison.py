"""Comparison of a candidate with the champion, from synthetic logs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitoring.rollout import candidate_comparison
from slipway.settings import settings
from tests.monitoring.rollout.compared_versions import ids, log, shifted, write_champion
from tests.support.prediction_log import watched_loans as loans


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return write_champion(tmp_path, monkeypatch)


def test_without_a_shadow_or_a_canary_there_is_nothing_to_compare(digest: str) -> None:
    frame = loans.rows(20, seed=2)
    log(frame, ids(frame), digest, "champion", "1")
    assert candidate_comparison.compare(settings(), "loans") is None


def test_a_shadow_is_compared_on_the_same_rows(digest: str) -> None:
    frame = loans.rows(200, seed=2)
    rows = ids(frame)
    pilots = frame["job"] == "pilot"
    log(frame, rows, digest, "champion", "1", ms=1.0)
    log(shifted(frame, pilots, 0.5)[:150], rows[:150], "b" * 64, "shadow", "2", ms=3.0)
    found = candidate_comparison.compare(settings(), "loans")
    assert found is not None
    assert (found.role, found.pairs, found.champion.rows, found.candidate.rows) == ("shadow", 150, 150, 150)
    assert (found.champion.version, found.candidate.version) == ("1", "2")
    assert found.came == 0.75
    assert (found.champion.p50_ms, found.candidate.p50_ms, found.candidate.p90_ms) == (1.0, 3.0, 3.0)
    by_job = {row.value: row for row in found.slices if row.feature == "job"}
    assert by_job["clerk"].agreement == by_job["nurse"].agreement == 1.0
    assert by_job["pilot"].agreement < 0.5
    assert by_job["pilot"].candidate > by_job["pilot"].champion + 0.3
    assert by_job["clerk"].candidate == pytest.approx(by_job["clerk"].champion)
    assert sum(row.rows for row in found.slices if row.feature == "age") == 150
    changed = float((frame["label"][:150] != shifted(frame, pilots, 0.5)["label"][:150]).mean())
    assert found.agreement == pytest.approx(1 - changed)


def test_the_difference_of_scores_is_a_distribution_over_the_pairs(digest: str) -> None:
    frame = loans.rows(100, seed=3).assign(score=0.25, label="good")
    rows = ids(frame)
    log(frame, rows, digest, "champion", "1")
    log(frame.assign(score=np.where(np.arange(100) < 20, 0.5, 0.25)), rows, "b" * 64, "shadow", "2")
    difference = candidate_comparison.compare(settings(), "loans").difference
    assert difference["mean"] == pytest.approx(0.05)
    assert (difference["p5"], difference["p50"], difference["p95"]) == (0.0, 0.0, 0.25)
    assert sum(each["share"] for each in difference["bins"]) == pytest.approx(1.0)
    assert difference["bins"][-1]["share"] == pytest.approx(0.2)


def test_what_a_candidate_failed_is_counted_by_its_kind_and_is_no_pair(digest: str) -> None:
    frame = loans.rows(40, seed=4)
    rows = ids(frame)
    log(frame, rows, digest, "champion", "1")
    log(frame[:30], rows[:30], "b" * 64, "shadow", "2")
    log(frame[30:], rows[30:], "b" * 64, "shadow", "2", error="ModelError")
    found = candidate_comparison.compare(settings(), "loans")
    assert (found.pairs, found.candidate.rows, found.candidate.errors) == (30, 40, {"ModelError": 10})
    assert found.champion.errors == {}


def test_labels_measure_each_version_on_the_same_rows(digest: str) -> None:
    frame = loans.rows(100, seed=5)
    rows = ids(frame)
    right = frame.assign(label=frame["label_true"], score=np.where(frame["label_true"] == "bad", 0.9, 0.1))
    log(frame, rows, digest, "champion", "1")
    log(right, rows, "b" * 64, "shadow", "2")
    loans.log_labels(rows[:60], list(frame["label_true"][:60]))
    found = candidate_comparison.compare(settings(), "loans")
    assert (found.champion.labelled, found.candidate.labelled) == (60, 60)
    assert found.candidate.quality["accuracy"].value == 1.0
    assert found.champion.quality["accuracy"].value < 0.9


def test_a_canary_has_rows_of_its_own_and_no_pairs(digest: str) -> None:
    frame, other = loans.rows(80, seed=6), loans.rows(20, seed=7)
    log(frame, ids(frame), digest, "champion", "1")
    log(other, ids(other), "b" * 64, "canary", "2", ms=2.0)
    found = candidate_comparison.compare(settings(), "loans")
    assert (found.role, found.pairs, found.agreement, found.came) == ("canary", 0, None, None)
    assert (found.champion.rows, found.candidate.rows) == (80, 20)
    assert found.candidate.answer == pytest.approx(other["score"].mean())
    assert all(row.agreement is None for row in found.slices)


@pytest.mark.parametrize("before", [("0", "1"), ("1", "2")], ids=["other numbers", "numbers that came again"])
def test_only_versions_that_serve_now_are_compared(digest: str, before: tuple[str, str]) -> None:
    frame = loans.rows(30, seed=8)
    rows = ids(frame)
    log(frame, rows, "c" * 64, "champion", before[0])
    log(frame, rows, "d" * 64, "shadow", before[1])
    again = ids(frame)
    log(frame[:10], again[:10], digest, "champion", "1")
    log(frame[:10], again[:10], "b" * 64, "shadow", "2")
    found = candidate_comparison.compare(settings(), "loans")
    assert (found.champion.version, found.candidate.version, found.pairs) == ("1", "2", 10)
