"""The change: found where the champion's losses rise for good, not where they are as they were."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.artifacts import ChangePoint
from pipelines.labels.change_point import detect_change, find_rise, losses
from slipway.contracts import columns
from slipway.contracts.bundle import manifest
from slipway.inference import Predictor
from slipway.system import files
from tests.support import bundles


def test_the_place_of_a_rise_is_found():
    rng = np.random.default_rng(0)
    later = np.concatenate([rng.random(800), rng.random(400) + 0.4])
    found = find_rise(rng.random(500), later)
    assert found is not None and abs(found.position - 800) < 20
    assert found.before == pytest.approx(0.5, abs=0.03) and found.after == pytest.approx(0.9, abs=0.03)
    assert found.p < 0.01


def test_a_world_that_had_changed_before_the_first_label_is_changed_from_the_first():
    rng = np.random.default_rng(0)
    found = find_rise(rng.random(500), rng.random(300) + 0.4)
    assert found is not None and found.position < 10


@pytest.mark.parametrize("shift", [0.0, -0.4, 0.01])
def test_no_rise_a_fall_and_a_tiny_rise_are_no_change(shift):
    rng = np.random.default_rng(0)
    assert find_rise(rng.random(500), np.concatenate([rng.random(3000), rng.random(3000) + shift])) is None


def test_too_few_losses_tell_nothing():
    rng = np.random.default_rng(0)
    assert find_rise(rng.random(500), rng.random(29) + 5) is None
    assert find_rise(np.empty(0), rng.random(50)) is None
    assert find_rise(np.zeros(0), np.ones(1000)) is None


def test_a_change_is_found_in_one_steady_world_of_a_hundred_at_most():
    rng = np.random.default_rng(4)
    alarms = sum(find_rise(rng.random(60) ** 4, rng.random(90) ** 4) is not None for _ in range(60))
    assert alarms <= 3  # 1 % each: four or more would be a chance of 1 in 300


SOURCE = "ab" * 32


@pytest.fixture
def champion(tmp_path):
    """`champion(facts)` is a bundle whose manifest has them."""

    def make(**facts):
        folder = tmp_path / "champion"
        bundles.write(folder, bundles.TABULAR)
        (folder / manifest.MANIFEST).unlink()
        manifest.write(folder, "loans", {"data_sha256": SOURCE, **facts})
        return folder

    return make


def rows(folder, count: int, wrong_from: int) -> pd.DataFrame:
    """Rows that the bundle predicts, labelled as predicted up to a position, and with the opposite from there on."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "age": rng.uniform(18, 90, count),
            "visits": rng.integers(0, 50, count).astype(float),
            "job": rng.choice(["clerk", "nurse", "pilot"], count),
            "member": pd.Series(rng.random(count) < 0.5, dtype=object),
        }
    )
    good_loss = losses(Predictor(folder, "cpu"), frame.assign(risk="good"))
    right = np.where(good_loss < 0.25, "good", "bad")
    frame["risk"] = np.where(np.arange(count) < wrong_from, right, np.where(right == "good", "bad", "good"))
    frame[columns.AT] = pd.Timestamp("2026-03-01", tz="UTC") + pd.to_timedelta(np.arange(count), unit="s")
    return frame.assign(**{columns.BUNDLE_SHA256: files.file_sha256(folder / manifest.MANIFEST), columns.VERSION: "4"})


def test_the_degradation_of_the_champion_is_found_with_its_time(champion):
    folder = champion()
    frame = rows(folder, 600, wrong_from=300)
    found = detect_change(folder, rows(folder, 200, wrong_from=200), frame, SOURCE)
    assert found.seen_by == "4" and found.after > found.before and found.p < 0.01
    assert abs(pd.Timestamp(found.at) - frame[columns.AT][300]) < pd.Timedelta("10s")


def test_predictions_of_other_versions_and_other_classes_are_no_evidence(champion):
    folder = champion()
    frozen, frame = rows(folder, 200, wrong_from=200), rows(folder, 600, wrong_from=300)
    assert detect_change(folder, frozen, frame.assign(**{columns.BUNDLE_SHA256: "c" * 64}), SOURCE) is None
    assert detect_change(folder, frozen.assign(risk="another"), frame, SOURCE) is None
    assert detect_change(folder / "none", frozen, frame, SOURCE) is None


def test_a_champion_of_the_time_since_a_change_passes_it_on_while_the_source_is_the_same(champion):
    change = {"at": "2026-02-01T00:00:00+00:00", "before": 0.1, "after": 0.3, "p": 0.002, "seen_by": "3"}
    folder = champion(production={"change": change})
    old_world, frame = rows(folder, 200, wrong_from=0), rows(folder, 600, wrong_from=600)
    assert detect_change(folder, old_world, frame, SOURCE) == ChangePoint(**change)
    assert detect_change(folder, rows(folder, 200, wrong_from=200), frame, "another source") is None


def test_a_second_change_takes_the_place_of_the_first(champion):
    change = {"at": "2026-02-01T00:00:00+00:00", "before": 0.1, "after": 0.3, "p": 0.002, "seen_by": "3"}
    folder = champion(production={"change": change})
    found = detect_change(folder, rows(folder, 200, wrong_from=0), rows(folder, 600, wrong_from=300), SOURCE)
    assert found.seen_by == "4" and found.at > change["at"]
