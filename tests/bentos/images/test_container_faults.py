"""Faults around a container that serves: the readiness names the fault and its fix, the old model answers all the
while, and after the fault the service recovers completely."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.contracts.bundle import manifest
from tests.bentos.images.container import OWN_PIDS, container, fill, namespaces, volume
from tests.bentos.server.processes import Load, Server, logged_ids
from tests.support import bundles
from tests.support.doubles.registry_double import RegistryDouble

pytestmark = pytest.mark.slow

__all__ = ["container", "namespaces"]
ROW = bundles.ROWS["loans"][0]
as_root = pytest.mark.usefixtures("namespaces")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryDouble]:
    """Its champion is version 1."""
    bundles.write(tmp_path / "one")
    with RegistryDouble("loans") as registry:
        registry.add("1", tmp_path / "one")
        registry.aliases["champion"] = "1"
        yield registry


def assert_serving(server: Server, version: str = "1") -> None:
    status, content = server.predict("loans", **ROW)
    assert (status, content["model"]["version"]) == (200, version)


def of_contract(number: int, folder: Path, **options) -> Path:
    bundles.write(folder, **options)
    path = folder / manifest.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"contract": number}))
    return folder


def test_a_bundle_of_another_contract_version_leaves_the_old_one_until_a_readable_one_is_promoted(
    container, registry, tmp_path
) -> None:
    server = container("loans", MLFLOW_TRACKING_URI=registry.uri)
    server.until_ready()
    registry.add("2", of_contract(9, tmp_path / "two", bias=0.1))
    registry.aliases["champion"] = "2"
    output = server.until_ready("version 2 (champion) is refused", "contract version 9; this release reads [1]")
    assert "install a newer Slipway here, or train the model with this one" in output
    assert_serving(server)
    bundles.write(tmp_path / "three", bias=0.2)
    registry.add("3", tmp_path / "three")
    registry.aliases["champion"] = "3"
    server.wait_for(lambda: server.model()["version"] == "3")
    server.wait_for(lambda: server.readiness() == (200, "ready\n"))
    assert_serving(server, "3")


def test_a_first_bundle_of_another_contract_version_is_reported_without_waiting(container, registry, tmp_path) -> None:
    registry.add("1", of_contract(9, tmp_path / "nine", bias=0.1))
    server = container("loans", MLFLOW_TRACKING_URI=registry.uri)
    server.until_waiting("version 1 (champion) is refused", "contract version 9")
    assert "contract version 9" in server.output


def test_an_image_that_packages_another_contract_version_is_reported(container, tmp_path) -> None:
    of_contract(9, tmp_path / "image" / "loans")
    server = container("loans", SLIPWAY_PACKAGED=str(tmp_path / "image"))
    server.until_waiting("The packaged bundle cannot be served", "contract version 9")


def test_a_missing_gpu_is_reported_by_a_pod_that_keeps_running(container, var, tmp_path) -> None:
    bundles.promote(var, tmp_path / "one")
    server = container("loans", args=("--no-follow",), SLIPWAY_DEVICE="gpu", CUDA_VISIBLE_DEVICES="")
    output = server.until_waiting("a GPU was asked for")
    assert "SLIPWAY_DEVICE" in output
    assert server.get("/livez")[0] == 200
    (state,) = server.states()
    assert state.roles["champion"].outcome == "failed", "no fault of the version's: nobody is to move its alias"


@as_root
def test_a_full_volume_is_reported_and_every_request_answered_until_there_is_space_again(
    container, registry, var
) -> None:
    with volume(var):
        server = container("loans", MLFLOW_TRACKING_URI=registry.uri, SLIPWAY_SEGMENT_SECONDS="0.5")
        server.until_ready()
        assert_serving(server)
        with Load(server, "loans", ROW, rate=50) as load:
            filler = fill(var)
            server.until_ready("the prediction log cannot be written", "No space left on device", "Free space")
            answered = len(load.answered)
            server.wait_for(lambda: len(load.answered) > answered + 20)
            assert server.get("/openapi.json")[0] == 200, "and what is counted for the first time kills nobody"
            filler.unlink()
            server.wait_for(lambda: server.readiness() == (200, "ready\n"))
            recovered = len(load.answered)
            server.wait_for(lambda: len(load.answered) > recovered + 20)
        assert (load.failed, load.broken) == ([], 0)
        lost = server.metric("slipway_prediction_log_lost_total")
        logged = logged_ids(var)
        assert lost == len([identity for identity in load.ids if identity not in logged]) > 0
        assert load.ids[-1] in logged


@as_root
def test_a_server_starts_on_a_full_volume_with_what_its_image_packages(container, var, tmp_path) -> None:
    bundles.write(tmp_path / "image" / "loans")
    with volume(var):
        fill(var)
        server = container("loans", SLIPWAY_PACKAGED=str(tmp_path / "image"))
        server.until_ready("warning: the prediction log cannot be written")
        assert server.predict("loans", **ROW)[0] == 200


@as_root
def test_a_server_starts_on_a_volume_that_is_read_only(container, var, tmp_path) -> None:
    """Serve the pointer's bundle, which is stored already."""
    with volume(var):
        digest = bundles.promote(var, tmp_path / "one")
        subprocess.run(["mount", "-o", "remount,ro", str(var)], check=True)
        server = container("loans", args=("--no-follow",))
        output = server.until_ready("Read-only file system", "mount another")
        assert "the prediction log" in output and "the workers' state" in output
        assert_serving(server)
        assert (server.model()["digest"], server.model()["workers"]) == (digest, [])
        subprocess.run(["mount", "-o", "remount,rw", str(var)], check=True)
        server.wait_for(lambda: server.readiness() == (200, "ready\n"))
        server.wait_for(lambda: [state.serving for state in server.states()] == [digest])


@as_root
def test_where_the_log_is_required_a_volume_that_turns_read_only_refuses_and_recovers(container, var, tmp_path) -> None:
    bundles.promote(var, tmp_path / "one", serving={"log": "required"})
    server = container("loans", args=("--no-follow",), SLIPWAY_SEGMENT_SECONDS="0.5")
    server.until_ready()
    assert_serving(server)
    with volume(var / "spool", "ro"):
        server.until_ready("the prediction log cannot be written", "Read-only file system")
        server.wait_for(lambda: server.predict("loans", **ROW)[0] == 503)
    server.wait_for(lambda: server.readiness() == (200, "ready\n"))
    server.wait_for(lambda: server.predict("loans", **ROW)[0] == 200)


@as_root
def test_the_service_may_be_the_first_process_of_its_container(var, tmp_path) -> None:
    bundles.promote(var, tmp_path / "one")
    server = Server(var, ("loans",))
    server.command = [*OWN_PIDS, *server.command]
    server.workers = lambda: []  # its pids are of another namespace; they end with `unshare`
    with server:
        assert_serving(server)
        assert len(server.states()) == 1
        server.process.kill()
