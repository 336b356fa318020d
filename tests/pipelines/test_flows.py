"""The flows under Prefect: one task per step, another try only for a server that did not respond, names that stay."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from types import ModuleType

import pytest

from pipelines.runs.fingerprint import code_digest
from slipway.errors import DataError, NotFound, RegistryError, ServiceError, UseCaseError
from tests.support.servers import asking


@pytest.fixture
def flows() -> ModuleType:
    """Imported by who needs it: Prefect would cost every run of pytest three seconds."""
    from pipelines import flows

    return flows


@pytest.fixture
def deployments() -> ModuleType:
    from pipelines import deployments

    return deployments


@pytest.fixture(scope="module")
def prefect(prefect_server: str) -> Iterator[None]:
    with asking(prefect_server):
        yield


@pytest.fixture
def run_steps(prefect, flows, usecase, orders, monkeypatch):
    """`run_steps(steps)` runs these named functions as the flow's steps; gives what `Run.step` has done for them."""
    found = usecase(orders)
    monkeypatch.setattr(flows, "_DELAYS_SECONDS", [0, 0])

    class Pretended:
        def __init__(self) -> None:
            self.called: list[str] = []

        def step(self, name, function, *args):
            self.called.append(name)
            return function(*args)

    def run(steps: dict) -> list[str]:
        from prefect import flow

        pretended = Pretended()

        @flow(name="pretended")
        def body() -> None:
            do = flows._as_task(pretended)
            for name, function in steps.items():
                do(name, function, found)

        try:
            body()
        finally:
            run.called = pretended.called
        return pretended.called

    return run


def failing(*errors: Exception):
    """A step that raises these, one a call, and then ends well."""
    left = list(errors)

    def step(usecase) -> None:
        if left:
            raise left.pop(0)

    return step


def test_steps_run_in_order_and_a_silent_server_is_retried(run_steps):
    away = failing(ServiceError("no answer"), RegistryError("no answer"))
    assert run_steps({"ingest": failing(), "register": away}) == ["ingest", "register", "register", "register"]


@pytest.mark.parametrize("error", [DataError("one class only"), NotFound("no such run"), ValueError("a defect")])
def test_what_another_try_does_not_mend_fails_at_once(run_steps, error):
    with pytest.raises(type(error), match=str(error)):
        run_steps({"ingest": failing(error), "clean": failing()})
    assert run_steps.called == ["ingest"]


def test_deployments_are_named_after_the_use_case_and_follow_its_schedule(deployments, usecase, orders):
    found = usecase(orders, schedule={"train": "0 3 * * 1"})
    train, monitor = deployments.deployments_for(found)
    assert [f"{d.flow_name}/{d.name}" for d in (train, monitor)] == ["train/orders", "monitor/orders"]
    assert train.parameters == {"usecase": "orders"}
    assert [schedule.schedule.cron for schedule in train.schedules] == ["0 3 * * 1"]
    assert not monitor.schedules


def test_the_version_of_a_deployment_is_that_of_its_code(deployments, usecase, orders):
    found = usecase(orders)
    assert {d.version for d in deployments.deployments_for(found)} == {code_digest(found)}


@pytest.mark.parametrize("line", ["every day", "0 25 * * 1", "* * *", ""])
def test_a_line_that_is_no_cron_line_is_refused_with_its_key(deployments, usecase, orders, line):
    found = usecase(orders, schedule={"monitor": line})
    with pytest.raises(UseCaseError, match=f"orders: schedule.monitor is {re.escape(repr(line))}.* write five fields"):
        deployments.deployments_for(found)


def test_a_deployment_finds_its_flow_from_any_folder(deployments, usecase, orders):
    for deployment in deployments.deployments_for(usecase(orders)):
        module, name = deployment.entrypoint.rsplit(".", 1)
        assert getattr(importlib.import_module(module), name).name == deployment.flow_name


@pytest.mark.slow
def test_the_watch_over_silent_runs_is_made_once(prefect, deployments):
    from prefect.client.orchestration import get_client

    deployments.watch_heartbeats()
    deployments.watch_heartbeats()
    with get_client(sync_client=True) as client:
        assert len(client.read_automations_by_name(deployments.SILENT)) == 1


@pytest.mark.slow
def test_a_monitor_that_fails_fails_its_flow_run(prefect, flows, monkeypatch):
    monkeypatch.setattr(flows.subprocess, "run", lambda *args, **kwargs: flows.subprocess.CompletedProcess(args, 3))
    with pytest.raises(ServiceError, match="exit code 3"):
        flows.monitor("digits")


def test_a_use_case_that_is_being_written_does_not_keep_the_others_from_their_schedules(
    deployments, usecase, orders, capsys
):
    folder = usecase(orders).folder.parent
    for name, text in (("half", "name: half\ntask: [binary\n"), ("named", "name: another\n")):
        (folder / name).mkdir()
        (folder / name / "usecase.yaml").write_text(text)
    assert [found.name for found in deployments._loadable()] == ["orders"]
    told = "".join(capsys.readouterr())
    assert "half is not scheduled: " in told and "is not YAML" in told and "named is not scheduled: " in told
