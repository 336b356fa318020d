"""Preflight: errors in usecase.yaml or `--set` are reported before any data is read, with what is allowed."""

from __future__ import annotations

import pytest

from pipelines.modeling.hyperparameters import Fitting, Network, Params, resolve
from pipelines.steps.preflight import preflight
from slipway.config import load
from slipway.errors import SettingsError, UseCaseError
from slipway.settings import settings


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"params": {"epohcs": 3}}, "Did you mean 'epochs'"),
        ({"params": {"epochs": 0}}, "greater than or equal to 1"),
        ({"params": {"dropout": 1.5}}, "params.dropout is 1.5"),
        ({"params": {"epochs": True}}, "params.epochs is True: a number is needed"),
        ({"params": {"learning_rate": float("inf")}}, "params.learning_rate is inf: Input should be a finite number"),
        ({"params": {"learning_rate": "fast"}}, "params.learning_rate is 'fast'"),
        ({"gates": {"absolute": {"roc_auk": 0.7}}}, "Did you mean 'roc_auc'"),
        ({"gates": {"metric": "rmse"}}, "a binary task has no metric 'rmse'"),
        ({"gates": {"slices": [{"feature": "phone"}]}}, "private and dropped"),
        ({"retraining": {"label_filters": ["near_duplicate"]}}, "Did you mean 'near_duplicates'"),
    ],
)
def test_it_names_what_is_wrong(usecase, orders, changes, says):
    with pytest.raises(UseCaseError, match=says):
        preflight(usecase(orders, **changes))


def test_a_training_in_a_container_makes_no_secret_of_its_own(usecase, orders, monkeypatch):
    found = usecase(orders)
    monkeypatch.setenv("SLIPWAY_CONTAINER", "true")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="SLIPWAY_MASK_KEY is not set.*Secret `slipway`"):
        preflight(found)
    monkeypatch.setenv("SLIPWAY_MASK_KEY", "a secret that is shared")
    settings.cache_clear()
    preflight(found)


def test_parameters_come_over_the_defaults(usecase, orders):
    found = resolve(usecase(orders, params={"epochs": 2, "learning_rate": "1e-2", "width": 64}))
    assert found.fitting == Fitting(epochs=2, learning_rate=0.01)
    assert found.network == Network(width=64)


def test_what_is_left_open_follows_from_the_rows():
    few, many = Params(Fitting(), Network()).sized(600), Params(Fitting(), Network()).sized(100_000)
    assert (few.fitting.batch_size, few.network.layers, few.network.width, few.network.sigma) == (32, 1, 64, 0.5)
    assert (many.fitting.batch_size, many.network.layers, many.network.width, many.network.sigma) == (512, 2, 256, 2.0)
    assert Params(Fitting(batch_size=8), Network(width=10, sigma=1.0)).sized(600).record()["width"] == 10
    assert Params(Fitting(), {"width": 0}).sized(600).network == {"width": 0}


def test_a_network_of_ones_own_takes_the_parameters_that_the_file_names(usecase, orders):
    usecase(orders, params={"depth": 3}).folder.joinpath("model.py").write_text("def build(inputs, params): ...")
    assert resolve(load("orders", {"depth": "5", "epochs": "1"})).network == {"depth": 5}
    assert resolve(load("orders", {"depth": "1e-3"})).network == {"depth": 0.001}, "which YAML 1.1 reads as text"
    assert resolve(load("orders", {"depth": "1e-3 m"})).network == {"depth": "1e-3 m"}
    with pytest.raises(UseCaseError, match="Did you mean 'depth'"):
        resolve(load("orders", {"dept": "5"}))
