"""A rollout with a real registry, follower, server and traffic; all of it as callers and people see it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import yaml

from bentos.follower import follower
from monitoring.release.promotion import promote
from monitoring.rollout import RolloutController, RolloutView
from monitoring.rollout.rollback import roll_back, wait_until_back
from slipway.clients.mlflow.registry import Registry
from slipway.settings import settings
from tests.bentos.server.processes import Load, Server
from tests.support import bundles
from tests.support.servers import publish, unique_name

ROW = bundles.ROWS["loans"][0]
FAILS = {**ROW, "age": 99.0}
SECONDS = float(os.environ.get("SLIPWAY_TEST_ROLLOUT_SECONDS", "120"))


class ServedUseCase:
    """A use case with a served champion, version 1; `add` registers further versions."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.name = unique_name("loans")
        self.folder = folder
        self.registry = Registry(uri)
        self.schema = msgspec.structs.replace(bundles.TABULAR, usecase=self.name)
        self.rollouts = RolloutController(settings(), self.registry)

    def add(self, **options: object) -> str:
        number = len(list(self.folder.glob("bundle-*"))) + 1
        bundle = self.folder / f"bundle-{number}"
        bundles.write(bundle, self.schema, bias=number / 10, serving={"swap_ratio": 1e6}, **options)
        return publish(self.registry.uri, self.name, bundle)

    def until(self, condition: Callable[[RolloutView], object], seconds: float = SECONDS) -> RolloutView:
        """Run passes, as `slipway watch` does, until the view meets the condition."""
        deadline = time.monotonic() + seconds
        while not condition(view := self.rollouts.once(self.name)):
            assert time.monotonic() < deadline, view
            time.sleep(0.5)
        return view


@pytest.fixture
def served(mlflow_server: str, tmp_path: Path, var: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("SLIPWAY_FOLLOW_SECONDS", "0.5")
    monkeypatch.setenv("SLIPWAY_USECASES", str(tmp_path / "usecases"))
    settings.cache_clear()
    made = ServedUseCase(tmp_path, mlflow_server)
    monkeypatch.setitem(bundles.ROWS, made.name, bundles.ROWS["loans"])
    made.registry.set_alias(made.name, "champion", made.add())
    stop = threading.Event()
    following = threading.Thread(target=follower.run, args=([made.name], settings(), stop), daemon=True)
    following.start()
    try:
        with Server(var, (made.name,), workers=2) as server:
            monkeypatch.setenv("SLIPWAY_SERVICE_PORT", str(server.port))
            settings.cache_clear()
            yield made, server
    finally:
        stop.set()
        following.join(30)


def usecase(served: ServedUseCase, **canary: object) -> None:
    """The use case's file, with these stages and limits."""
    folder = served.folder / "usecases" / served.name
    folder.mkdir(parents=True)
    config = {
        "name": served.name,
        "owner": "a@example.com",
        "task": "binary",
        "source": {"path": "data.csv"},
        "features": [{"name": "age", "kind": "number"}],
        "target": {"name": "risk", "classes": ["good", "bad"], "positive": "bad"},
        "canary": canary,
    }
    (folder / "usecase.yaml").write_text(yaml.safe_dump(config))


def test_a_failing_canary_is_taken_back_under_traffic_and_no_caller_sees_a_failure(served: tuple) -> None:
    made, server = served
    usecase(made, stages=[20], min_minutes=60, max_score_shift=None)
    bad = made.add(fault="nan")
    with Load(server, made.name, ROW, rate=90) as well, Load(server, made.name, FAILS, rate=10, connections=1) as ill:
        promote(made.name, bad, "canary")
        made.until(lambda view: view.version == bad, 10)
        view = made.until(lambda view: view.version is None)
        server.wait_for(lambda: server.all_have(server.states(made.name)[0].generation, None, made.name, "canary"))
        after = time.monotonic()
        time.sleep(0.5)
    assert view.message.startswith(f"version {bad} was rolled back: errors: ")
    assert (well.failed, well.broken, ill.failed, ill.broken) == ([], 0, [], 0)
    assert {a.version for a in [*well.answered, *ill.answered] if a.sent > after} == {"1"}
    assert made.registry.model(made.name).aliases == {"champion": "1"}
    assert made.registry.version(made.name, bad).tags["slipway.refused"].startswith("taken back by slipway rollout")


def test_a_good_canary_becomes_champion_and_a_person_rolls_it_back_at_once(served: tuple) -> None:
    made, server = served
    loose = {"max_error_excess": 0.2, "max_slow_excess": 0.9, "max_score_shift": None}  # one row, a busy machine
    usecase(made, stages=[50, 100], min_predictions=50, min_minutes=0, **loose)
    good = made.add()
    with Load(server, made.name, ROW, rate=100) as load:
        promote(made.name, good, "canary", weight=40)
        stages = set()
        made.until(lambda view: stages.add(view.weight) or made.registry.model(made.name).aliases["champion"] == good)
        assert stages >= {40, 50, 100}
        server.wait_for(lambda: {state.version for state in server.states(made.name)} == {good})
        began = time.monotonic()
        done = wait_until_back(roll_back(made.name, "the branch says so"), 30)
        seconds = time.monotonic() - began
    assert (load.failed, load.broken) == ([], 0)
    assert (done.version, done.instead, done.serving) == (good, "1", 2)
    assert "the branch says so" in made.registry.version(made.name, good).tags["slipway.refused"]
    assert json.loads(json.dumps(done.to_dict()))["alias"] == "champion"
    assert seconds < 30
