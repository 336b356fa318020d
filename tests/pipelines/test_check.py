"""What usecase.yaml or `--set` got wrong is said before any data is read, with what is allowed."""

from __future__ import annotations

import pytest

from pipelines.check import check
from pipelines.params import Fitting, resolve
from slipway.errors import UseCaseError
from slipway.usecase import load


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"params": {"epohcs": 3}}, "Did you mean 'epochs'"),
        ({"params": {"epochs": 0}}, "greater than or equal to 1"),
        ({"params": {"dropout": 1.5}}, "params.dropout is 1.5"),
        ({"params": {"learning_rate": "fast"}}, "params.learning_rate is 'fast'"),
        ({"gates": {"absolute": {"roc_auk": 0.7}}}, "Did you mean 'roc_auc'"),
        ({"gates": {"metric": "rmse"}}, "a binary task has no metric 'rmse'"),
        ({"gates": {"slices": [{"feature": "phone"}]}}, "private and dropped"),
    ],
)
def test_it_names_what_is_wrong(usecase, orders, changes, says):
    with pytest.raises(UseCaseError, match=says):
        check(usecase(orders, **changes))


def test_parameters_come_over_the_defaults(usecase, orders):
    found = resolve(usecase(orders, params={"epochs": 2, "learning_rate": "1e-2", "width": 64}))
    assert found.fitting == Fitting(epochs=2, learning_rate=0.01)
    assert found.network["width"] == 64 and found.network["members"] == 8


def test_a_network_of_ones_own_takes_the_parameters_that_the_file_names(usecase, orders):
    usecase(orders, params={"depth": 3}).folder.joinpath("model.py").write_text("def build(inputs, params): ...")
    assert resolve(load("orders", {"depth": "5", "epochs": "1"})).network == {"depth": 5}
    with pytest.raises(UseCaseError, match="Did you mean 'depth'"):
        resolve(load("orders", {"dept": "5"}))
