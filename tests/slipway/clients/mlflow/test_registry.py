from __future__ import annotations

from pathlib import Path

import pytest

from slipway.clients.mlflow.registry import Registry
from slipway.contracts.bundle import manifest
from slipway.errors import BundleError, NotFound, RegistryError
from tests.support import bundles
from tests.support.servers import publish, unique_name


@pytest.fixture
def registry(mlflow_server: str) -> Registry:
    return Registry(mlflow_server)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bundles.write(tmp_path / "bundle", bundles.TABULAR)
    return tmp_path / "bundle"


def test_aliases_and_tags_go_there_and_back(registry: Registry, folder: Path) -> None:
    name = unique_name("loans")
    first, second = (publish(registry.uri, name, folder) for _ in range(2))
    registry.set_alias(name, "champion", second)
    registry.set_alias(name, "shadow", first)
    registry.delete_alias(name, "shadow")
    registry.set_version_tag(name, first, "slipway.gate", "passed")
    registry.set_model_tag(name, "slipway.holdout_sha256", "ab")
    assert registry.model(name).aliases == {"champion": second}
    assert registry.model(name).tags == {"slipway.holdout_sha256": "ab"}
    assert registry.version(name, first).tags["slipway.gate"] == "passed"
    assert registry.aliased(name, "champion").version == second
    assert registry.aliased(name, "canary") is None
    assert [v.version for v in registry.versions(name)] == [second, first]
    assert name in [model.name for model in registry.models()]


def test_a_bundle_is_fetched_completely_or_as_the_server_needs_it(
    registry: Registry, folder: Path, tmp_path: Path
) -> None:
    name = unique_name("loans")
    version = registry.version(name, publish(registry.uri, name, folder))
    digest = registry.fetch_bundle(version, tmp_path / "server")
    assert digest == version.digest
    assert not (tmp_path / "server/monitor").exists()
    registry.fetch_bundle(version, tmp_path / "all", serving_only=False)
    assert all((tmp_path / "all" / file).is_file() for file in manifest.FILES)


def test_a_file_of_a_run_is_fetched_byte_for_byte(registry: Registry, folder: Path, tmp_path: Path) -> None:
    name = unique_name("loans")
    extra = tmp_path / "rows.bin"
    extra.write_bytes(bytes(range(256)) * 5000)
    number = publish(registry.uri, name, folder, artifacts={"holdout/rows.bin": extra})
    run_id = registry.version(name, number).run_id
    fetched = registry.fetch_artifact(run_id, "holdout/rows.bin", tmp_path / "fetched")
    assert fetched.read_bytes() == extra.read_bytes()
    with pytest.raises(NotFound):
        registry.fetch_artifact(run_id, "holdout/other.bin", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_bundle_without_a_digest_or_with_another_is_refused(registry: Registry, folder: Path, tmp_path: Path) -> None:
    name = unique_name("loans")
    version = publish(registry.uri, name, folder, tags={"slipway.bundle_sha256": "0" * 64})
    with pytest.raises(BundleError, match="the registry says 000"):
        registry.fetch_bundle(registry.version(name, version), tmp_path / "fetched")
    registry.delete_version_tag(name, version, "slipway.bundle_sha256")
    with pytest.raises(BundleError, match=r"no tag slipway\.bundle_sha256"):
        registry.fetch_bundle(registry.version(name, version), tmp_path / "fetched")


def test_a_bundle_that_lacks_a_file_names_it(registry: Registry, folder: Path, tmp_path: Path) -> None:
    (folder / "serve/probe.json").unlink()
    name = unique_name("loans")
    version = registry.version(name, publish(registry.uri, name, folder))
    with pytest.raises(BundleError, match=r"serve/probe\.json is missing in loans_\w+ version 1"):
        registry.fetch_bundle(version, tmp_path / "fetched")


def test_an_unknown_model_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no_such_model"):
        registry.model("no_such_model")


def test_a_registry_that_does_not_answer_says_what_to_do() -> None:
    silent = Registry("http://127.0.0.1:9")
    assert not silent.alive()
    with pytest.raises(RegistryError, match="does not respond.*MLFLOW_TRACKING_URI"):
        silent.model("loans")


def test_a_registry_that_is_no_server_is_refused() -> None:
    with pytest.raises(RegistryError, match="is not a server"):
        Registry("sqlite:///mlflow.db")
