"""A candidate beside the champion, from made-up logs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitoring import shadow
from slipway import events
from slipway.prediction_log import Writer
from slipway.settings import settings
from tests.monitoring import watched_loans as loans

SLICES = """
gates:
  slices:
    - {feature: age, bins: [45]}
    - {feature: job}
"""


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A use case with slices, and the champion's bundle where monitoring keeps what it has fetched."""
    loans.write_usecase(tmp_path / "usecases", monkeypatch)
    with (tmp_path / "usecases" / "loans" / "usecase.yaml").open("a") as file:
        file.write(SLICES)
    found = loans.write_bundle(tmp_path / "bundle", loans.rows(50, seed=1))
    kept = settings().var / "monitor" / found
    kept.parent.mkdir(parents=True)
    (tmp_path / "bundle").rename(kept)
    return found


def log(
    frame: pd.DataFrame, ids: list[str], digest: str, role: str, version: str, ms: float = 1.0, error: str | None = None
) -> None:
    """An event for each row; with `error` they are failures."""
    at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
    context = events.PredictionContext(
        environment="local",
        usecase="loans",
        version=version,
        bundle_sha256=digest,
        role=role,
        answered=role != "shadow" and not error,
        trace_id="t" * 32,
        request_id="r",
        timestamp=at,
        duration_ns=1,
        model_ms=ms,
        outcome="failure" if error else "success",
        error_type=error,
    )
    lines = []
    for row_id, row in zip(ids, frame.to_dict("records"), strict=True):
        answer = None if error else {"label": row["label"], "score": row["score"]}
        lines.append(context.line(row_id, {"age": row["age"], "job": row["job"]}, answer=answer))
    writer = Writer(settings().spool, "loans", "prediction")
    assert writer.write(b"".join(lines))
    writer.close()


def ids(frame: pd.DataFrame) -> list[str]:
    """Rising with time, as the server's are."""
    return [f"{time.time_ns():024}-{number:06}-0" for number in range(len(frame))]


def shifted(frame: pd.DataFrame, where: pd.Series, by: float) -> pd.DataFrame:
    """The candidate's answers: the same but for some rows, whose score is higher."""
    score = np.clip(frame["score"] + np.where(where, by, 0.0), 0, 1)
    return frame.assign(score=score, label=np.where(score >= 0.5, "bad", "good"))


def test_without_a_shadow_or_a_canary_there_is_nothing_to_compare(digest: str) -> None:
    frame = loans.rows(20, seed=2)
    log(frame, ids(frame), digest, "champion", "1")
    assert shadow.compare(settings(), "loans") is None


def test_a_shadow_is_compared_on_the_same_rows(digest: str) -> None:
    frame = loans.rows(200, seed=2)
    rows = ids(frame)
    pilots = frame["job"] == "pilot"
    log(frame, rows, digest, "champion", "1", ms=1.0)
    log(shifted(frame, pilots, 0.5)[:150], rows[:150], "b" * 64, "shadow", "2", ms=3.0)
    found = shadow.compare(settings(), "loans")
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
    difference = shadow.compare(settings(), "loans").difference
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
    found = shadow.compare(settings(), "loans")
    assert (found.pairs, found.candidate.rows, found.candidate.errors) == (30, 40, {"ModelError": 10})
    assert found.champion.errors == {}


def test_labels_that_came_say_how_good_each_was_on_the_same_rows(digest: str) -> None:
    frame = loans.rows(100, seed=5)
    rows = ids(frame)
    right = frame.assign(label=frame["label_true"], score=np.where(frame["label_true"] == "bad", 0.9, 0.1))
    log(frame, rows, digest, "champion", "1")
    log(right, rows, "b" * 64, "shadow", "2")
    loans.tell(rows[:60], list(frame["label_true"][:60]))
    found = shadow.compare(settings(), "loans")
    assert (found.champion.labelled, found.candidate.labelled) == (60, 60)
    assert found.candidate.quality["accuracy"].value == 1.0
    assert found.champion.quality["accuracy"].value < 0.9


def test_a_canary_has_rows_of_its_own_and_no_pairs(digest: str) -> None:
    frame, other = loans.rows(80, seed=6), loans.rows(20, seed=7)
    log(frame, ids(frame), digest, "champion", "1")
    log(other, ids(other), "b" * 64, "canary", "2", ms=2.0)
    found = shadow.compare(settings(), "loans")
    assert (found.role, found.pairs, found.agreement, found.came) == ("canary", 0, None, None)
    assert (found.champion.rows, found.candidate.rows) == (80, 20)
    assert found.candidate.answer == pytest.approx(other["score"].mean())
    assert all(row.agreement is None for row in found.slices)


def test_only_the_versions_that_answer_now_are_compared(digest: str) -> None:
    frame = loans.rows(30, seed=8)
    rows = ids(frame)
    log(frame, rows, "c" * 64, "champion", "0")
    log(frame, rows, "d" * 64, "shadow", "1")
    again = ids(frame)
    log(frame[:10], again[:10], digest, "champion", "1")
    log(frame[:10], again[:10], "b" * 64, "shadow", "2")
    found = shadow.compare(settings(), "loans")
    assert (found.champion.version, found.candidate.version, found.pairs) == ("1", "2", 10)
