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
from slipway.serving_state import additions, follower_status, observed
from slipway.serving_state.follower_status import Refusal
from slipway.serving_state.observed import WorkerState

PORTS = {"service": 3000, "mlflow": 5000, "prefect": 4200, "status": 8080}


class StackOfNames:
    """A stack that notes the processes by their names, and whose service fails with some use case."""

    def __init__(self, local: LocalServices, broken: str = "") -> None:
        self.local = local
        self.started: list[str] = []
        self.running: dict[str, tuple[str, ...]] = {"runner": ()}
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

    @property
    def added(self) -> tuple[str, ...]:
        return additions.read(self.local.additions_file)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """The aliases of each registered model; tests change them."""
    found: dict[str, dict[str, str]] = {"digits": {"champion": "1"}}

    def model(self: Registry, name: str) -> RegisteredModel:
        if "down" in found:
            raise RegistryError("the registry does not respond")
        if name not in found:
            raise NotFound(name)
        return RegisteredModel(name, found[name])

    monkeypatch.setattr(Registry, "model", model)
    monkeypatch.setattr(newcomers, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(config, "names", lambda: ["digits", "loans", "prices"])
    return found


@pytest.fixture
def watch(tmp_path: Path) -> Callable[..., tuple[Newcomers, StackOfNames, list[str]]]:
    def make(
        *chosen: str, broken: str = "", served: tuple[str, ...] = ("digits",), scheduled: tuple[str, ...] = ("digits",)
    ) -> Any:
        local = LocalServices(tmp_path / "var", tmp_path, PORTS)
        stack, said = StackOfNames(local, broken), []
        return Newcomers(stack, local, chosen, served, scheduled, said.append), stack, said  # type: ignore[arg-type]

    return make


def test_a_use_case_is_served_and_scheduled_when_it_is_promoted(registry, watch) -> None:
    found, stack, said = watch()
    found.look()
    registry["loans"] = {"challenger": "1"}
    found.look()
    assert (stack.started, stack.added) == ([], ()), "nothing is promoted yet"
    registry["loans"] = {"challenger": "1", "champion": "1"}
    found.look()
    assert stack.added == ("loans",)
    assert stack.running["runner-loans"][-2:] == ("pipelines.deployments", "loans")
    assert "runner" in stack.running, "the runner that may have a training under way is left alone"
    assert "loans was promoted" in said[0]
    registry["prices"] = {"champion": "7"}
    found.look()
    found.look()
    assert stack.added == ("loans", "prices")
    assert stack.started == ["runner-loans", "runner-prices"], "once each, and the service is never started again"


def test_two_are_taken_up_at_once(registry, watch) -> None:
    found, stack, _ = watch()
    registry |= {"loans": {"champion": "1"}, "prices": {"champion": "1"}}
    found.look()
    assert stack.added == ("loans", "prices")
    assert stack.running["runner-loans-prices"][-3:] == ("pipelines.deployments", "loans", "prices")


def test_one_that_is_scheduled_already_is_only_served(registry, watch) -> None:
    found, stack, _ = watch(scheduled=("digits", "loans"))
    registry["loans"] = {"champion": "1"}
    found.look()
    assert (stack.started, stack.added) == ([], ("loans",))


def test_a_use_case_that_was_not_asked_for_is_left_alone(registry, watch) -> None:
    found, stack, _ = watch("digits", "prices")
    registry |= {"loans": {"champion": "1"}, "prices": {"champion": "1"}}
    found.look()
    assert stack.added == ("prices",)


def test_it_is_said_once_that_it_is_served_or_why_not(registry, watch) -> None:
    found, stack, said = watch()
    registry["loans"] = {"champion": "1"}
    found.look()
    serving = stack.local.serving
    follower_status.write_refusals(serving, "loans", {"1": Refusal("1", "champion", "its gates failed", "now")})
    found.look()
    found.look()
    [reason] = [line for line in said if "not served" in line]
    assert reason.startswith("loans is not served: version 1 is refused: its gates failed\n")
    state = observed.StateFile(serving, "loans")
    state.write(WorkerState(1, 1, "digest", "2", "cpu", "pointer", "now"))
    found.look()
    found.look()
    assert said[-1] == "loans is served"
    state.remove()


def test_the_first_use_case_starts_the_service_and_a_broken_one_is_tried_once_a_version(registry, watch) -> None:
    found, stack, said = watch(broken="digits", served=(), scheduled=("digits", "loans"))
    found.look()
    found.look()
    assert stack.started == ["service"]
    assert "exit code 1" in said[-1]
    registry["digits"] = {"champion": "2"}
    found.look()
    assert stack.started == ["service", "service"]
    assert "service" not in stack.running
    registry["loans"] = {"champion": "1"}
    found.look()
    assert stack.served == ["loans"]
    assert stack.added == ()


def test_one_that_the_service_did_not_start_with_is_awaited(registry, watch, tmp_path) -> None:
    registry["loans"] = {"champion": "1"}
    local = LocalServices(tmp_path / "var", tmp_path, PORTS)
    additions.write(local.additions_file, ["loans"])
    follower_status.write_refusals(local.serving, "loans", {"1": Refusal("1", "champion", "it is broken", "now")})
    found, stack, said = watch(served=("digits", "loans"), scheduled=("digits", "loans"))
    found.look()
    assert "it is broken" in said[0]
    registry["prices"] = {"champion": "1"}
    found.look()
    assert stack.added == ("loans", "prices"), "it is still to be taken up"


def test_a_registry_that_does_not_answer_ends_nothing(registry, watch) -> None:
    found, stack, _ = watch()
    registry |= {"down": {}, "loans": {"champion": "1"}}
    found.look()
    assert stack.added == ()
    del registry["down"]
    found.look()
    assert stack.added == ("loans",)
