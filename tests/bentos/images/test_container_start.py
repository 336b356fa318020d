"""What a container serves when it starts: the pointer's bundle, the registry's, or the packaged one."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway import api_keys
from slipway.serving_state import follower_status
from slipway.settings import settings
from tests.bentos.auth.issuers import Issuer
from tests.bentos.images.container import OWN_PIDS, container, following, namespaces
from tests.bentos.server.processes import ROOT
from tests.conftest import NOWHERE
from tests.support import bundles
from tests.support.doubles.registry_double import RegistryDouble
from tests.support.servers import free_port

pytestmark = pytest.mark.slow

__all__ = ["container", "namespaces"]
ROW = bundles.ROWS["loans"][0]


@pytest.fixture
def packaged(tmp_path: Path) -> str:
    """Write the bundle that an image packages."""
    bundles.write(tmp_path / "image" / "loans")
    return str(tmp_path / "image")


def source(server) -> str:
    return server.model()["source"]


def test_without_a_registry_the_packaged_bundle_serves_at_once_and_no_follower_starts(container, packaged) -> None:
    server = container("loans", SLIPWAY_PACKAGED=packaged, SLIPWAY_START_WAIT_SECONDS="600")
    assert server.until_ready() == "ready\n"
    assert source(server) == "packaged" and server.predict("loans", **ROW)[0] == 200
    server.wait_for_metric(1, "slipway_model_info", source="packaged")
    assert "follow" not in server.output


def test_while_the_registry_is_away_it_waits_then_serves_the_packaged_bundle_and_keeps_polling(
    container, packaged, tmp_path
) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    env = {"SLIPWAY_PACKAGED": packaged, "MLFLOW_TRACKING_URI": uri, "SLIPWAY_START_WAIT_SECONDS": "15"}
    server = container("loans", **env)
    assert "MLFLOW_TRACKING_URI" in server.until_waiting(f"the registry {uri} does not respond", "since")
    assert "warning: loans: the registry" in server.until_ready()
    assert source(server) == "packaged" and server.predict("loans", **ROW)[0] == 200
    bundles.write(tmp_path / "newer", bias=0.3)
    with RegistryDouble("loans", port) as registry:
        digest = registry.add("7", tmp_path / "newer")
        registry.aliases["champion"] = "7"
        server.wait_for(lambda: server.model()["digest"] == digest, 60)
        server.wait_for(lambda: server.readiness() == (200, "ready\n"))
    server.wait_for(lambda: "warning" in server.readiness()[1])
    assert server.predict("loans", **ROW)[1]["model"]["version"] == "7"
    assert server.output.count(f'"message":"loans: the registry {uri} does not respond') == 2, (
        "once each time that it went away"
    )
    assert server.output.count("the registry answers again") == 1


def test_the_desired_bundle_serves_at_once_while_the_registry_is_away(container, var, packaged, tmp_path) -> None:
    digest = bundles.promote(var, tmp_path / "stored", version="3", bias=0.2)
    server = container("loans", SLIPWAY_PACKAGED=packaged, MLFLOW_TRACKING_URI=NOWHERE)
    server.until_ready()
    assert (server.model()["digest"], source(server)) == (digest, "pointer")


def test_with_nothing_to_serve_it_keeps_running_and_reports_it_until_the_alias_is_set(container, tmp_path) -> None:
    bundles.write(tmp_path / "first")
    with RegistryDouble("loans") as registry:
        registry.add("1", tmp_path / "first")
        server = container("loans", MLFLOW_TRACKING_URI=registry.uri)
        assert "slipway promote loans VERSION" in server.until_waiting("no version has the alias champion")
        registry.aliases["champion"] = "1"
        server.wait_for(lambda: server.readiness() == (200, "ready\n"), 60)


@pytest.mark.usefixtures("namespaces")
def test_the_follower_may_be_another_container_of_the_pod(container, var, packaged, tmp_path) -> None:
    """Run server and follower on one volume, where neither sees the other's processes."""
    bundles.write(tmp_path / "first", bias=0.1)
    with RegistryDouble("loans") as registry:
        env = {"SLIPWAY_PACKAGED": packaged, "MLFLOW_TRACKING_URI": registry.uri, "SLIPWAY_START_WAIT_SECONDS": "1"}
        server = container("loans", args=("--no-follow",), **env)
        server.until_ready()
        assert source(server) == "packaged"
        with following(var, "loans", prefix=OWN_PIDS, **env) as follower:
            digest = registry.add("1", tmp_path / "first")
            registry.aliases["champion"] = "1"
            server.wait_for(lambda: server.model()["digest"] == digest, 60)
            server.wait_for(lambda: [state.serving for state in server.states()] == [digest])
            assert follower.poll() is None
        assert server.predict("loans", **ROW)[1]["model"]["version"] == "1"


def test_an_image_of_another_use_case_names_its_use_case(container, packaged) -> None:
    server = container("prices", SLIPWAY_PACKAGED=packaged)
    output = server.until_waiting("this image packages loans")
    assert "SLIPWAY_SERVE" in output and "MLFLOW_TRACKING_URI" in output
    assert server.get("/livez")[0] == 200


def test_redis_issuer_and_registry_may_all_be_away(container, var, packaged) -> None:
    secret = api_keys.create(settings().key_file, "ci", ["predict", "read"], rate="2/hour")[1]
    server = container(
        "loans",
        SLIPWAY_PACKAGED=packaged,
        SLIPWAY_INSECURE="false",
        MLFLOW_TRACKING_URI=NOWHERE,
        SLIPWAY_START_WAIT_SECONDS="0",
        SLIPWAY_REDIS_URL=f"redis://127.0.0.1:{free_port()}",
        SLIPWAY_JWT_ISSUER="https://issuer.test",
        SLIPWAY_JWT_AUDIENCE="slipway",
        SLIPWAY_JWT_JWKS=f"http://127.0.0.1:{free_port()}/jwks.json",
    )
    server.until_ready()
    assert [predict(server.port, secret) for _ in range(3)] == [200, 200, 429], "counted by the worker alone"
    with Issuer() as issuer:
        assert predict(server.port, issuer.token()) == 503


def predict(port: int, credential: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"content-type": "application/json", "authorization": f"Bearer {credential}"}
    connection.request("POST", "/v1/predict", json.dumps({"instances": [ROW]}), headers)
    status = connection.getresponse().status
    connection.close()
    return status


class TestFollower:
    def test_it_ends_at_once_with_0_also_while_the_registry_keeps_it_waiting(self, var) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with following(var, "loans", MLFLOW_TRACKING_URI=uri) as follower:
                silent.accept()
                follower.send_signal(signal.SIGTERM)
                assert follower.wait(8) == 0

    def test_a_probe_detects_whether_it_polls(self, var, cli, monkeypatch) -> None:
        ran = cli("follow", "loans", "--check")
        assert ran.code == 1 and "loans: no follower has polled the registry yet" in ran.err
        follower_status.write_status(settings().serving, "loans", follower_status.FollowerStatus())
        assert cli("follow", "loans", "--check").code == 0
        os.utime(follower_status.status_path(settings().serving, "loans"), (0, 0))
        ran = cli("follow", "loans", "--check")
        assert ran.code == 1 and "it hangs, or ended" in ran.err

    def test_it_keeps_polling_while_the_registry_is_away(self, var, cli) -> None:
        command = [sys.executable, "-m", "slipway.cli", "follow", "loans", "--check"]
        with following(var, "loans", MLFLOW_TRACKING_URI=NOWHERE):
            deadline = time.monotonic() + 60
            while subprocess.run(command, cwd=ROOT, capture_output=True).returncode:
                assert time.monotonic() < deadline
            while not (
                topics := follower_status.read_status(var / "serving", "loans").topics
            ):  # its first poll goes on
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert "does not respond" in topics["registry"].message
