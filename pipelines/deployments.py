"""Prefect deployments `train/USECASE` and `monitor/USECASE` with the use cases' schedules.

`python -m pipelines.deployments` serves them in this process, or with names those of these use cases only. With `--pool
NAME` it registers all of them for a Kubernetes work pool, whose worker runs each flow run as a Job, and ends.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from prefect import Flow, serve
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipelines import flows, work_pool
from pipelines.runs.fingerprint import code_digest
from slipway.clients.http import is_healthy, without_login
from slipway.config import UseCase, load, names
from slipway.console import say
from slipway.errors import ServiceError, SlipwayError, UseCaseError
from slipway.settings import settings

SILENT = "slipway: a flow run without a heartbeat has crashed"
_SILENCE_SECONDS = 90
_WAIT_SECONDS = 180.0


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the deployments until a signal, or register them for the pool that `argv` names.

    Raises:
        SystemExit: a setting is not valid, or Prefect does not respond; the message tells what to do.
    """
    options = _options(argv)
    try:
        if options.pool:
            register(options.pool, options.image, work_pool.job_template(options.job_template, options.job_variables))
        else:
            _serve(options.names)
    except SlipwayError as error:
        raise SystemExit(f"Error: {error}") from None


def register(pool: str, image: str, template: dict[str, Any]) -> None:
    """Register the work pool and the deployments of this code, which `image` holds; repeating it changes nothing.

    Runs in the pool may have this image only.

    Raises:
        ServiceError: Prefect does not respond.
        SettingsError: the pool is of another type.
    """
    uri = settings().prefect_uri
    _wait_for(uri)
    with temporary_settings({PREFECT_API_URL: uri}):
        work_pool.ensure_work_pool(pool, work_pool.allow_only(template, image))
        for deployment in _all_deployments(trainings=1):  # on one machine a lock ensures it; Jobs share no folder
            deployment.paused = _paused(deployment.full_name)
            deployment.apply(work_pool_name=pool, image=image)
            say(f"{deployment.full_name} runs in the pool {pool} as {image}")
        watch_heartbeats()


def deployments_for(usecase: UseCase, trainings: int | None = None) -> list[RunnerDeployment]:
    """Return `train/NAME`, with a limit of concurrent runs, and `monitor/NAME`, by the use case's cron lines (UTC)."""
    schedule = usecase.schedule
    return [
        _to_deployment(flows.train, usecase, _cron(usecase, "train", schedule.train), trainings),
        _to_deployment(flows.monitor, usecase, _cron(usecase, "monitor", schedule.monitor)),
    ]


def _cron(usecase: UseCase, key: str, line: str | None) -> str | None:
    """Return a cron line that Prefect reads; raises UseCaseError for any other."""
    try:
        return None if line is None else CronSchedule(cron=line).cron
    except ValueError:
        raise UseCaseError(
            f"{usecase.name}: schedule.{key} is {line!r}, which is no cron line: write five fields, as 0 3 * * 1."
        ) from None


def _to_deployment(flow: Flow, usecase: UseCase, cron: str | None, limit: int | None = None) -> RunnerDeployment:
    return flow.to_deployment(
        name=usecase.name,
        parameters={"usecase": usecase.name},
        cron=cron,
        concurrency_limit=limit,
        description=usecase.description,
        tags=[usecase.name],
        version=code_digest(usecase),  # by which a delivery sees whether this code would be trained
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _all_deployments(trainings: int | None = None) -> list[RunnerDeployment]:
    return [deployment for name in names() for deployment in deployments_for(load(name), trainings)]


def _serve(chosen: Sequence[str]) -> None:
    usecases = [load(name) for name in chosen] or list(_loadable())
    watch_heartbeats()
    with flows.heartbeats():
        serve(*chain.from_iterable(map(deployments_for, usecases)), print_starting_message=False)


def _loadable() -> Iterator[UseCase]:
    """Load every use case; one that is not as it must be, as while a person writes it, is told and left out."""
    for name in names():
        try:
            yield load(name)
        except UseCaseError as error:
            say(f"{name} is not scheduled: {error}")


def _wait_for(uri: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not is_healthy(f"{uri}/health"):
        if time.monotonic() > deadline:
            raise ServiceError(
                f"Prefect does not respond at {without_login(uri)} (for {_WAIT_SECONDS:.0f} s): is its server up, "
                "and does PREFECT_API_URL name it?"
            )
        time.sleep(1)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipelines.deployments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="use cases to serve here; none: all")
    parser.add_argument("--pool", help="register for this Kubernetes work pool instead of serving")
    parser.add_argument("--image", help="image that holds this code: what the pool's Jobs run")
    parser.add_argument("--job-template", type=Path, help="Prefect's base job template, as YAML")
    parser.add_argument("--job-variables", type=Path, help="folder with a file per variable of it: the default here")
    options = parser.parse_args(argv)
    if options.pool and not (options.image and options.job_template):
        parser.error("--pool needs --image and --job-template")
    if options.pool and options.names:
        parser.error("--pool registers all use cases: leave their names out")
    return options


def _paused(name: str) -> bool:
    """Whether a person has paused the deployment, which stays paused when it is registered again."""
    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(name).paused
        except ObjectNotFound:
            return False


def watch_heartbeats() -> None:
    """Let the server mark a killed run as crashed, which otherwise stays running.

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
