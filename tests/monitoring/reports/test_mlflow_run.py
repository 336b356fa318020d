"""Metrics of a verdict in MLflow: one for each figure, whatever the names of the features."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.reports.mlflow_run import metrics


def verdict(*names: str) -> dict[str, Any]:
    tests = [
        {"name": name, "method": method, "effect": {"value": place}, "adjusted_p": 0.5}
        for place, name in enumerate(names)
        for method in ("ks", "chi2_missing")
    ]
    return {"features": tests, "predictions": [], "verdict": "drift", "window": {"rows": 7}, "quality": None}


@pytest.mark.parametrize("names", [("a$b", "a%b", "a_b"), ("Age", "age"), ("x", "x/ks", "x//ks", "../x", ".")])
def test_each_feature_has_its_own_metrics(names):
    found = metrics(verdict(*names))
    assert len({key.casefold() for key in found}) == 2 + 4 * len(names)
    assert sorted(value for key, value in found.items() if key.startswith("effect/")) == sorted(
        [*range(len(names))] * 2
    )


def test_names_that_mlflow_allows_are_in_the_metrics_as_they_are():
    assert {"effect/mean area/ks", "adjusted_p/debt/income/ks"} <= set(metrics(verdict("mean area", "debt/income")))
