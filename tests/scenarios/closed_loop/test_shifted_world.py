"""Simulated world of the closed loop: the same applicants, another rule for their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scenarios.closed_loop import credit_risk_concept_drift, shifted_world, workspace
from slipway.config import UseCase, load
from slipway.settings import settings

ROWS = 3000


@pytest.fixture
def usecase() -> UseCase:
    return load(workspace.original(settings().usecases).name)


def test_there_are_as_many_rows_as_are_wanted_and_none_twice(usecase: UseCase) -> None:
    rows = shifted_world.rows(usecase, ROWS, seed=1, changed=False)
    assert len(rows) == ROWS
    assert rows.drop(columns="risk").duplicated().sum() < ROWS / 1000


def test_rows_have_the_categories_and_types_that_clients_send(usecase: UseCase) -> None:
    rows = shifted_world.rows(usecase, 50, seed=1, changed=True)
    for feature in usecase.features:
        if feature.vocabulary:
            assert set(rows[feature.name]) <= set(feature.vocabulary)
        elif feature.kind == "integer":
            assert pd.api.types.is_integer_dtype(rows[feature.name])
        elif feature.kind == "boolean":
            assert pd.api.types.is_bool_dtype(rows[feature.name])
    assert set(rows["risk"]) == set(usecase.target.classes)


def test_the_change_is_of_the_labels_alone(usecase: UseCase) -> None:
    before, after = (shifted_world.rows(usecase, ROWS, seed=1, changed=changed) for changed in (False, True))
    pd.testing.assert_frame_equal(before.drop(columns="risk"), after.drop(columns="risk"))
    shares = [(rows["risk"] == "bad").mean() for rows in (before, after)]
    assert shares[0] == pytest.approx(shares[1], abs=0.08)


def test_a_feature_with_a_positive_effect_gets_a_negative_one(usecase: UseCase) -> None:
    thin = "below 0 DM"
    before, after = (shifted_world.rows(usecase, ROWS, seed=1, changed=changed) for changed in (False, True))
    bad = [np.mean(rows.loc[rows["status"] == thin, "risk"] == "bad") for rows in (before, after)]
    assert bad[0] > 0.4 > 0.25 > bad[1]


def test_the_rule_names_values_that_there_are(usecase: UseCase) -> None:
    vocabularies = {feature.name: feature.vocabulary for feature in usecase.features}
    for name, effects in credit_risk_concept_drift.RULE.items():
        assert set(effects) <= set(vocabularies[name] or ())


def test_a_file_of_it_is_what_traffic_reads(usecase: UseCase, tmp_path: Path) -> None:
    path = shifted_world.write(usecase, tmp_path / "world" / "rows.parquet", 20, seed=3, changed=True)
    pd.testing.assert_frame_equal(pd.read_parquet(path), shifted_world.rows(usecase, 20, seed=3, changed=True))
