"""The doubles of MLflow and Prefect respond as the real servers, as far as the closed loop depends on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.clients.mlflow.documents import Accepted
from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import PrefectClient
from slipway.errors import NotFound, RegistryError, SlipwayError
from tests.monitoring.retraining import requests
from tests.support import bundles
from tests.support.doubles.mlflow_double import MlflowDouble
from tests.support.doubles.prefect_double import PrefectDouble
from tests.support.servers import asking, publish, unique_name


@pytest.fixture(params=["the double", pytest.param("MLflow", marks=pytest.mark.slow)])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    if request.param == "MLflow":
        yield Registry(request.getfixturevalue("mlflow_server"))
        return
    with MlflowDouble() as double:
        yield Registry(double.uri)


@pytest.fixture
def published(registry: Registry, tmp_path: Path) -> tuple[str, str]:
    """Publish a model with two versions; gives its name and the digest of their bundle."""
    name, digest = unique_name("loans"), bundles.write(tmp_path / "bundle")
    for _ in range(2):
        publish(registry.uri, name, tmp_path / "bundle")
    return name, digest


def test_versions_have_numbers_tags_and_a_bundle(registry: Registry, published, tmp_path: Path) -> None:
    name, digest = published
    assert [version.version for version in registry.versions(name)] == ["2", "1"]
    version = registry.version(name, "2")
    assert (version.digest, version.created_ms > 0, bool(version.run_id)) == (digest, True, True)
    assert registry.fetch_bundle(version, tmp_path / "fetched", serving_only=False) == digest


def test_aliases_and_tags_are_set_over_what_is_there_and_taken_away_without_complaint(registry, published) -> None:
    name, _ = published
    registry.set_alias(name, "champion", "1")
    registry.set_alias(name, "champion", "2")
    registry.set_alias(name, "canary", "1")
    registry.set_model_tag(name, "switch", "on")
    registry.set_version_tag(name, "1", "slipway.refused", "slow")
    model = registry.model(name)
    assert (model.aliases, model.tags) == ({"champion": "2", "canary": "1"}, {"switch": "on"})
    assert registry.version(name, "1").tags["slipway.refused"] == "slow"
    for _ in range(2):
        registry.delete_alias(name, "canary")
        registry.delete_model_tag(name, "switch")
        registry.delete_version_tag(name, "1", "slipway.refused")
    model = registry.model(name)
    assert (model.aliases, model.tags) == ({"champion": "2"}, {})
    assert "slipway.refused" not in registry.version(name, "1").tags


def test_an_alias_is_deleted_with_its_version_whose_number_is_never_reused(registry, published, tmp_path) -> None:
    name, _ = published
    registry.set_alias(name, "champion", "2")
    registry._send(Accepted, "DELETE", "model-versions/delete", name=name, version="2")
    assert registry.model(name).aliases == {}
    with pytest.raises(NotFound):
        registry.version(name, "2")
    assert publish(registry.uri, name, tmp_path / "bundle") in ("2", "3")


@pytest.mark.parametrize(
    "call",
    [
        lambda registry, name: registry.model("nobody"),
        lambda registry, name: registry.version(name, "9"),
        lambda registry, name: registry.set_alias(name, "champion", "9"),
        lambda registry, name: registry.set_version_tag(name, "9", "key", "value"),
        lambda registry, name: registry.set_model_tag("nobody", "key", "value"),
        lambda registry, name: registry.experiment("nobody"),
    ],
)
def test_missing_entities_are_not_found(registry: Registry, published, call: Callable[..., Any]) -> None:
    with pytest.raises(NotFound):
        call(registry, published[0])


def test_runs_are_listed_with_their_artifacts(registry: Registry) -> None:
    name = unique_name("audit")
    experiment = registry.create_experiment(name)
    assert registry.experiment(name) == experiment
    with pytest.raises(RegistryError, match="exists"):
        registry.create_experiment(name)
    assert registry.runs(experiment) == []
    first, second = (registry.create_run(experiment, "audit") for _ in range(2))
    assert [run.info.run_id for run in registry.runs(experiment)] == [run.info.run_id for run in (first, second)]
    registry.put_artifact(first.info.artifact_uri, "local/a.json", b"a")
    registry.put_artifact(first.info.artifact_uri, "local/a.json", b"b")
    assert registry.artifacts(first.info.run_id, "local") == ["local/a.json"]
    assert registry.small_artifact(first.info.artifact_uri, "local/a.json") == b"b"
    with pytest.raises(NotFound):
        registry.small_artifact(first.info.artifact_uri, "local/none.json")


@pytest.fixture(params=["the double", pytest.param("Prefect", marks=pytest.mark.slow)])
def prefect(request: pytest.FixtureRequest) -> Iterator[Callable[[str], PrefectClient]]:
    """`prefect(usecase)` is the API of a server that has the deployment `train/USECASE`."""
    if request.param == "the double":
        with PrefectDouble() as double:
            yield lambda usecase: PrefectClient(f"{double.uri}/api")
        return
    uri = request.getfixturevalue("prefect_server")

    def deployed(usecase: str) -> PrefectClient:
        requests.deploy(usecase)
        return PrefectClient(uri)

    with asking(uri):
        yield deployed


def test_a_deployment_is_found_by_its_flow_and_name(prefect: Callable[[str], PrefectClient]) -> None:
    found = prefect("loans").deployment("train", "loans")
    assert found and (found.parameters, found.version, found.work_pool_name) == ({"usecase": "loans"}, None, None)


def test_a_key_starts_one_flow_run_which_is_found_by_it_and_is_under_way(
    prefect: Callable[[str], PrefectClient],
) -> None:
    api = prefect("loans")
    assert api.with_key("one") is None and api.under_way("train", "loans") == []
    run = api.start("train/loans", {}, "one", ["drift"])
    assert api.start("train/loans", {}, "one", ["quality"]) == run
    found = api.with_key("one")
    assert found and (found.id, found.state, found.tags) == (run, "SCHEDULED", ("drift",))
    assert found.created is not None and api.flow_run(run) == found
    assert [one.id for one in api.under_way("train", "loans")] == [run]
    assert api.under_way("train", "digits") == []
    with pytest.raises(SlipwayError):
        api.flow_run("00000000-0000-0000-0000-000000000000")
