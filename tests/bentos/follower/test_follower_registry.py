"""The follower with a real MLflow server: what the registry answers, and what the follower does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from bentos.follower.follower import Follower
from slipway.clients.mlflow.registry import Registry
from slipway.serving_state import desired, follower_status
from slipway.settings import settings
from tests.bentos.models.broken_bundles import BREAKS, mix_up_the_digest
from tests.support import bundles
from tests.support.servers import publish, unique_name
from tests.support.waiting import until


def test_moving_the_alias_moves_the_pointer_unless_the_bundle_is_broken(mlflow_server: str, tmp_path: Path) -> None:
    name = unique_name("loans")
    schema = msgspec.structs.replace(bundles.TABULAR, usecase=name)
    bundles.ROWS[name] = bundles.ROWS["loans"]
    registry = Registry(mlflow_server)
    following = Follower(name, registry, settings())
    good = bundles.write(tmp_path / "good", schema)
    registry.set_alias(name, "champion", publish(mlflow_server, name, tmp_path / "good"))
    following.poll()
    assert desired.read(settings().serving, name) == desired.DesiredState(1, good)

    for tamper in BREAKS:
        directory = tmp_path / tamper.__name__
        bundles.write(directory, schema, bias=1.0)
        reason = tamper(directory)
        wrong = {"slipway.bundle_sha256": "0" * 64} if tamper is mix_up_the_digest else None
        version = publish(mlflow_server, name, directory, tags=wrong)
        registry.set_alias(name, "champion", version)
        following.poll()
        refusals = follower_status.read_refusals(settings().serving, name)
        assert list(refusals) == [version] and reason in refusals[version].reason
        assert desired.read(settings().serving, name) == desired.DesiredState(1, good)
    assert [path.name for path in settings().store.iterdir()] == [good]


def test_the_command_follows_until_it_is_terminated(mlflow_server: str, tmp_path: Path, var: Path) -> None:
    name = unique_name("loans")
    bundles.ROWS[name] = bundles.ROWS["loans"]
    first, second = (tmp_path / name for name in ("first", "second"))
    for bias, directory in enumerate((first, second)):
        bundles.write(directory, msgspec.structs.replace(bundles.TABULAR, usecase=name), bias=float(bias))
    registry = Registry(mlflow_server)
    registry.set_alias(name, "champion", publish(mlflow_server, name, first))
    environment = os.environ | {"MLFLOW_TRACKING_URI": mlflow_server, "SLIPWAY_FOLLOW_SECONDS": "0.2"}
    log = tmp_path / "follower.log"
    command = [sys.executable, "-m", "slipway.cli", "follow", name]
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stderr=output) as process:
        try:
            until(lambda: _generation(name) == 1, 30)
            registry.set_alias(name, "champion", publish(mlflow_server, name, second))
            until(lambda: _generation(name) == 2, 30)
            until(lambda: "champion version 2" in log.read_text(), 30)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    assert process.returncode == 0
    assert "Traceback" not in log.read_text()


def _generation(name: str) -> int:
    found = desired.read(settings().serving, name)
    return found.generation if found else 0
