"""Use cases that get their first champion while `slipway up` runs are served and scheduled, without a person's help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway import config
from slipway.clients.mlflow.registry import RegisteredModel, Registry
from slipway.errors import NotFound, RegistryError, ServiceError
from slipway.local import LocalServices, newcomers
from slipway.local.newcomers import Newcomers

PORTS = {"service": 3000, "mlflow": 5000, "prefect": 4200, "status": 8080}


class StackOfNames:
    """A stack that notes the processes by their names, and whose service fails with some use case."""

    def __init__(self, broken: str = "") -> None:
        self.started: list[str] = []
        self.running: dict[str, tuple[str, ...]] = {"service": (), "runner": ()}
        self._broken = broken

    def start(self, process: Any) -> None:
        self.running[process.name] = process.argv
        self.started.append(process.name)
        if self._broken and self._broken in process.argv and process.name == "service":
            raise ServiceError("service ended with exit code 1")

    def stop(self, *names: str) -> None:
        for name in names:
            self.running.pop(name, None)

    @property
    def served(self) -> list[str]:
        argv = list(self.running["service"])
        return argv[argv.index("serve") + 1 :]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """The aliases of each registered model; tests change them."""
    found: dict[str, dict[str, str]] = {"digits": {"champion": "1"}}

    def model(self: Registry, name: str) -> RegisteredModel:
        if "down" in found:
            raise RegistryError("the registry does not answer")
        if name not in found:
            raise NotFound(name)
        return RegisteredModel(name, found[name])

    monkeypatch.setattr(Registry, "model", model)
    monkeypatch.setattr(newcomers, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(config, "names", lambda: ["digits", "loans", "prices"])
    return found


@pytest.fixture
def watch(tmp_path: Path) -> Callable[..., tuple[Newcomers, StackOfNames, list[str]]]:
    def make(*chosen: str, broken: str = "", scheduled: tuple[str, ...] = ("digits",)) -> Any:
        stack, said = StackOfNames(broken), []
        local = LocalServices(tmp_path / "var", tmp_path, PORTS)
        return Newcomers(stack, local, chosen, ["digits"], scheduled, said.append), stack, said  # type: ignore[arg-type]

    return make


def test_a_use_case_is_served_and_scheduled_when_it_is_promoted(registry, watch) -> None:
    found, stack, said = watch()
    found.look()
    registry["loans"] = {"challenger": "1"}
    found.look()
    assert stack.started == [], "nothing is promoted yet"
    registry["loans"] = {"challenger": "1", "champion": "1"}
    found.look()
    assert stack.served == ["digits", "loans"]
    assert stack.running["runner-loans"][-2:] == ("pipelines.deployments", "loans")
    assert "runner" in stack.running, "the runner that may have a training under way is left alone"
    assert "loans was promoted" in said[0]
    found.look()
    assert stack.started == ["service", "runner-loans"], "once"
    registry["prices"] = {"champion": "7"}
    found.look()
    assert stack.served == ["digits", "loans", "prices"]


def test_one_that_is_scheduled_already_is_only_served(registry, watch) -> None:
    found, stack, _ = watch(scheduled=("digits", "loans"))
    registry["loans"] = {"champion": "1"}
    found.look()
    assert stack.started == ["service"]


def test_a_use_case_that_was_not_asked_for_is_left_alone(registry, watch) -> None:
    found, stack, _ = watch("digits", "prices")
    registry |= {"loans": {"champion": "1"}, "prices": {"champion": "1"}}
    found.look()
    assert stack.served == ["digits", "prices"]


def test_what_served_before_serves_on_if_the_newcomer_cannot(registry, watch) -> None:
    found, stack, said = watch(broken="loans")
    registry["loans"] = {"champion": "1"}
    found.look()
    assert stack.served == ["digits"]
    assert "exit code 1" in said[-1]
    found.look()
    assert stack.started.count("service") == 2, "it is tried once"


def test_a_registry_that_does_not_answer_ends_nothing(registry, watch) -> None:
    found, stack, _ = watch()
    registry |= {"down": {}, "loans": {"champion": "1"}}
    found.look()
    assert stack.started == []
    del registry["down"]
    found.look()
    assert stack.served == ["digits", "loans"]
