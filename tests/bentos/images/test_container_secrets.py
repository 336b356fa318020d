"""Secrets of a container: each that is missing, empty or too short is named, none is printed, and 78 means that a
restart does not help. A Secret that Kubernetes replaces takes effect in a running server at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from slipway import api_keys
from slipway.contracts.schema import Feature
from slipway.settings import settings
from tests.bentos.images.container import MASK_KEY, SETTINGS, container
from tests.bentos.images.test_container_start import predict
from tests.bentos.server.processes import ROOT, Server
from tests.support import bundles

pytestmark = pytest.mark.slow

__all__ = ["container"]
PLAIN, OURS = ("bentoml", "serve", "bentos.service:slipway"), ("slipway.cli", "serve")
FOLLOW = ("slipway.cli", "follow")
TOKENS = msgspec.structs.replace(
    bundles.TABULAR, features=(*bundles.TABULAR.features, Feature("email", "category", private="token", nullable=True))
)


def ended(command: tuple[str, ...], var: Path, **env: str) -> tuple[int, str]:
    """Return exit code and output of a start that is refused."""
    given = {**os.environ, **SETTINGS, "SLIPWAY_SERVE": "loans", "SLIPWAY_VAR": str(var), **env}
    argv = [sys.executable, "-m", *command]
    ran = subprocess.run(argv, cwd=ROOT, env=given, capture_output=True, text=True, timeout=90)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("command", [PLAIN, OURS])
def test_without_credentials_it_ends_with_78_and_names_the_missing_settings(command, var) -> None:
    code, output = ended(command, var, SLIPWAY_INSECURE="false", SLIPWAY_HOST="0.0.0.0")
    assert code == 78
    assert "slipway keys create" in output and "SLIPWAY_JWT_JWKS" in output and "SLIPWAY_INSECURE=true" in output


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"SLIPWAY_KEYS": "/etc/slipway/keys.json"}, "the key file /etc/slipway/keys.json (SLIPWAY_KEYS) is not there"),
        ({"SLIPWAY_TRUSTED_KEYS": "/etc/slipway/a.pem"}, "the key file /etc/slipway/a.pem (SLIPWAY_TRUSTED_KEYS)"),
        ({"SLIPWAY_MASK_KEY": ""}, "SLIPWAY_MASK_KEY: Value error, is empty"),
        ({"SLIPWAY_MASK_KEY": "hush-hush"}, "SLIPWAY_MASK_KEY: Value error, has 9 characters"),
        ({"SLIPWAY_API_KEY": "hush-hush"}, "SLIPWAY_API_KEY: Value error, has 9 characters"),
    ],
)
def test_a_secret_that_is_missing_or_none_is_named_and_not_printed(
    refused_settings, cli, monkeypatch, env, named
) -> None:
    by_the_service = refused_settings(**SETTINGS | env)
    for name, value in (SETTINGS | env).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    ran = cli("serve", "loans")
    for code, output in (by_the_service, (ran.code, ran.out + ran.err)):
        assert code == 78 and named in output
        assert MASK_KEY not in output and "hush-hush" not in output


def test_an_empty_key_file_is_named(var, tmp_path) -> None:
    (tmp_path / "keys.json").write_text("")
    code, output = ended(OURS, var, SLIPWAY_KEYS=str(tmp_path / "keys.json"))
    assert code == 78 and f"the key file {tmp_path / 'keys.json'} cannot be read: it is empty" in output


def test_a_follower_with_wrong_settings_ends_with_78_too(var) -> None:
    code, output = ended(FOLLOW, var, SLIPWAY_FOLOW_SECONDS="1")
    assert code == 78 and "SLIPWAY_FOLLOW_SECONDS" in output
    code, output = ended(FOLLOW, var, MLFLOW_TRACKING_URI="http://ann:hush-hush@mlflow:5000")
    assert code == 1 and "MLFLOW_TRACKING_PASSWORD" in output and "hush-hush" not in output


def test_a_bundle_with_masked_features_is_not_served_with_a_generated_secret(container, var, tmp_path) -> None:
    bundles.promote(var, tmp_path / "plain", version="1")
    server = container("loans", args=("--no-follow",), SLIPWAY_MASK_KEY=None)
    assert "warning: SLIPWAY_MASK_KEY is not set" in server.until_ready()
    digest = bundles.promote(var, tmp_path / "masks", TOKENS, version="2")
    server.until_ready("it masks email", "SLIPWAY_MASK_KEY")
    assert server.predict("loans", **bundles.ROWS["loans"][0])[1]["model"]["version"] == "1"
    (state,) = server.states()
    assert (state.roles["champion"].digest, state.roles["champion"].outcome) == (digest, "failed")


def test_where_it_is_the_first_the_readiness_names_the_secret(container, var, tmp_path) -> None:
    bundles.promote(var, tmp_path / "masks", TOKENS)
    server = container("loans", args=("--no-follow",), SLIPWAY_MASK_KEY=None)
    server.until_waiting("it masks email", "SLIPWAY_MASK_KEY")


class Mounted:
    """Mount a Secret as the kubelet does: the files are links through `..data`, which it replaces."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swaps = 0
        folder.mkdir()

    @property
    def path(self) -> Path:
        return self._folder / "keys.json"

    def put(self, content: bytes) -> None:
        self._swaps += 1
        new = self._folder / f"..2026_11_21_{self._swaps}"
        new.mkdir()
        (new / "keys.json").write_bytes(content)
        link = self._folder / "..data_tmp"
        link.symlink_to(new.name)
        link.replace(self._folder / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to("..data/keys.json")


def test_a_key_that_leaves_the_mounted_secret_ends_within_a_second_in_every_worker(serve, var: Path, tmp_path) -> None:
    bundles.promote(var, tmp_path / "loans")
    made = tmp_path / "made.json"
    first = api_keys.create(made, "first", ["predict"])[1]
    mounted = Mounted(tmp_path / "mounted")
    mounted.put(made.read_bytes())
    server: Server = serve("loans", workers=2, SLIPWAY_KEYS=str(mounted.path), **SETTINGS)
    second = api_keys.create(made, "second", ["predict"])[1]
    assert {predict(server.port, first) for _ in range(20)} == {200}
    assert {predict(server.port, second) for _ in range(20)} == {401}
    api_keys.revoke(made, "first")
    mounted.put(made.read_bytes())
    time.sleep(1)
    assert {predict(server.port, first) for _ in range(20)} == {401}
    assert {predict(server.port, second) for _ in range(20)} == {200}
    mounted.put(b"{ half")
    time.sleep(1)
    assert {predict(server.port, second) for _ in range(20)} == {200}, "what was known goes on counting"
    assert "the known keys remain valid" in server.log.read_text()
