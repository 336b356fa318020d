from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scenarios.traffic import drift_injection
from slipway.contracts.schema import Feature
from slipway.errors import DataError
from slipway.inference import decode_image, image_statistics
from tests.support import bundles

AGE = Feature("age", "number")
VISITS = Feature("visits", "integer", nullable=True)
JOB = Feature("job", "category", vocabulary=("clerk", "nurse"))
IMAGE = bundles.IMAGES.images[0]


def drifted(values: list, feature: Feature, kind: str, strength: float = 1.0) -> pd.Series:
    rows = pd.DataFrame({feature.name: values})
    before = rows.copy()
    after = drift_injection.inject(rows, feature, kind, strength, np.random.default_rng(0))
    pd.testing.assert_frame_equal(rows, before)
    return after[feature.name]


def test_shift_adds_standard_deviations() -> None:
    values = list(np.random.default_rng(1).normal(50, 10, 500))
    assert drifted(values, AGE, "shift", 0.5).mean() == pytest.approx(np.mean(values) + 0.5 * np.std(values, ddof=1))


def test_scale_multiplies() -> None:
    assert list(drifted([1.0, -2.0, 3.0], AGE, "scale")) == [2.0, -4.0, 6.0]


def test_noise_widens_numbers_around_the_same_mean() -> None:
    values = list(np.random.default_rng(1).normal(50, 10, 2000))
    after = drifted(values, AGE, "noise")
    assert after.mean() == pytest.approx(50, abs=1.5)
    assert after.std() == pytest.approx(10 * np.sqrt(2), rel=0.1)


def test_integers_stay_integers_and_missing_ones_missing() -> None:
    after = drifted([1.0, 4.0, None, 7.0], VISITS, "shift", 0.3)
    assert after.dropna().map(float.is_integer).all()
    assert after.isna().tolist() == [False, False, True, False]


def test_missing_drops_values_of_about_a_third_of_the_rows() -> None:
    assert 0.25 < drifted(list(range(1000)), VISITS, "missing").isna().mean() < 0.35


def test_a_new_category_is_one_that_training_never_saw() -> None:
    after = drifted(["clerk", "nurse"] * 500, JOB, "new-category")
    assert 0.25 < (after == drift_injection.UNSEEN).mean() < 0.35


@pytest.mark.parametrize("kind", ["brightness", "noise"])
def test_a_changed_image_is_still_an_image(kind: str) -> None:
    dark = decode_image(drifted([bundles.png(seed=k) for k in range(3)], IMAGE, kind).iloc[0], IMAGE)
    before = decode_image(bundles.png(seed=0), IMAGE)
    assert dark.shape == before.shape
    assert (dark != before).any()


def test_brightness_brightens() -> None:
    before = [image_statistics(decode_image(bundles.png(seed=k), IMAGE))["brightness"] for k in range(5)]
    files = drifted([bundles.png(seed=k) for k in range(5)], IMAGE, "brightness")
    after = [image_statistics(decode_image(png, IMAGE))["brightness"] for png in files]
    assert np.mean(after) > np.mean(before) + 0.15


@pytest.mark.parametrize(
    ("feature", "kinds"),
    [
        (AGE, ["shift", "scale", "noise"]),
        (VISITS, ["shift", "scale", "missing", "noise"]),
        (JOB, ["new-category"]),
        (IMAGE, ["noise", "brightness"]),
        (Feature("member", "boolean"), []),
        (Feature("income", "category", private="bucket", nullable=True), []),
    ],
)
def test_a_feature_has_the_kinds_that_the_server_accepts(feature: Feature, kinds: list[str]) -> None:
    assert drift_injection.fitting_kinds(feature) == kinds


def test_without_a_name_the_first_feature_that_fits_drifts() -> None:
    assert drift_injection.choose_feature(bundles.TABULAR, "missing", None).name == "visits"
    assert drift_injection.choose_feature(bundles.TABULAR, "new-category", None).name == "job"
    assert drift_injection.choose_feature(bundles.TABULAR, "prior", None) is None


@pytest.mark.parametrize(
    ("kind", "feature", "message"),
    [
        ("shft", None, r"no kind of drift 'shft'. Did you mean 'shift'\? There are: shift, scale"),
        ("brightness", None, "no feature of loans can have 'brightness' drift. Kinds that fit: missing, new-category"),
        ("shift", "job", "job is a category.*: 'shift' drift does not fit it. Kinds that fit: new-category"),
        ("missing", "age", "age is a number that is never null.*Kinds that fit: shift, scale, noise"),
        ("shift", "aeg", r"no feature 'aeg'. Did you mean 'age'\?"),
        ("prior", "age", "Leave --feature out"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_what_does(kind: str, feature: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        drift_injection.choose_feature(bundles.TABULAR, kind, feature)


def test_prior_drift_favours_the_upper_half_of_a_regression() -> None:
    target = pd.Series(np.arange(1000.0))
    keep = drift_injection.prior_drift_mask(target, bundles.REGRESSION, 1.0, np.random.default_rng(0))
    assert keep[501:].all()
    assert 0.2 < keep[:500].mean() < 0.3
