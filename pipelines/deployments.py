"""`python -m pipelines.deployments` serves `train/USECASE` and `monitor/USECASE` with the use cases' schedules."""

from __future__ import annotations

from datetime import timedelta

from prefect import Flow, serve
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

from pipelines import flows
from slipway.usecase import UseCase, load, names

SILENT = "slipway: a flow run without a heartbeat has crashed"
_SILENCE_SECONDS = 90


def main() -> None:
    """Serve the deployments of every use case until a signal ends it."""
    deployments = [deployment for name in names() for deployment in of(load(name))]
    watch_heartbeats()
    with flows.heartbeats():
        serve(*deployments, print_starting_message=False)


def of(usecase: UseCase) -> list[RunnerDeployment]:
    """`train/NAME` and `monitor/NAME`, by the use case's cron lines (UTC)."""
    schedule = usecase.schedule
    return [_deployed(flows.train, usecase, schedule.train), _deployed(flows.monitor, usecase, schedule.monitor)]


def _deployed(flow: Flow, usecase: UseCase, cron: str | None) -> RunnerDeployment:
    return flow.to_deployment(
        name=usecase.name,
        parameters={"usecase": usecase.name},
        cron=cron,
        description=usecase.description,
        tags=[usecase.name],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def watch_heartbeats() -> None:
    """Have the server call a killed run crashed: without this it is shown as running for ever.

    https://docs.prefect.io/v3/advanced/detect-zombie-flows
    """
    with get_client(sync_client=True) as client:
        if client.read_automations_by_name(SILENT):
            return
    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    Automation(
        name=SILENT,
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *ends},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=_SILENCE_SECONDS),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="It stopped saying that it lives: killed?")],
    ).create()


if __name__ == "__main__":
    main()
