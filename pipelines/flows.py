"""Prefect flows `train` and `monitor`. Prefect schedules and retries; the run itself records which steps are done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.tasks import Task

from pipelines.flow_logs import errors_redacted, flow_run_logs
from pipelines.runs.run import Run, open_run
from pipelines.training import StepRunner, training
from slipway.config import load
from slipway.errors import NotFound, RegistryError, ServiceError
from slipway.trace_context import VARIABLE, traceparent

_DELAYS_SECONDS = [5, 20]
_HEARTBEAT_SECONDS = 30
_FLUSH_SECONDS = 5.0


@flow(name="train", flow_run_name="train-{usecase}")
def train(usecase: str, overrides: dict[str, str] | None = None, fresh: bool = False) -> dict[str, Any]:
    """Train, evaluate and register `usecase`; a run that was killed is resumed. See `pipelines.training`."""
    found = load(usecase, overrides)
    with flow_run_logs("train"), open_run(found, overrides or {}, register=True, fresh=fresh) as run:
        return asdict(training(found, run, _as_task(run)))


@flow(name="monitor", flow_run_name="monitor-{usecase}")
def monitor(usecase: str) -> None:
    """Run `slipway monitor USECASE` as a process of its own: the training package does not import monitoring.

    Raises:
        ServiceError: it failed; its output is in the runner's log.
    """
    command = [sys.executable, "-m", "slipway.cli", "monitor", usecase]
    with flow_run_logs("monitor"):
        done = subprocess.run(command, check=False, env={**os.environ, VARIABLE: traceparent() or ""})
    if done.returncode:
        raise ServiceError(f"slipway monitor {usecase} ended with exit code {done.returncode}: see the runner's log.")


@contextmanager
def heartbeats() -> Iterator[None]:
    """Let flow runs that begin here send heartbeats every 30 s, so that the server detects killed runs."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: _HEARTBEAT_SECONDS}):
        yield


@contextmanager
def prefect_logs_flushed() -> Iterator[None]:
    """Flush the logs and events of flow runs to the server at the end of the block, before it may be stopped."""
    try:
        yield
    finally:
        APILogWorker.drain_all(timeout=_FLUSH_SECONDS)
        EventsWorker.drain_all(timeout=_FLUSH_SECONDS)


def _as_task(run: Run) -> StepRunner:
    def do(name: str, function: Callable[..., None], *args: Any, **kwargs: Any) -> Path:
        step = task(
            errors_redacted()(lambda: run.step(name, function, *args, **kwargs)),
            name=name,
            cache_policy=NO_CACHE,
            retries=len(_DELAYS_SECONDS),
            retry_delay_seconds=_DELAYS_SECONDS,
            retry_condition_fn=_is_retryable,
        )
        return step()

    return do


def _is_retryable(task: Task, task_run: TaskRun, state: State) -> bool:
    """Whether a retry may help: a server may answer again soon, whereas data and code do not change."""
    return isinstance(state.data, ServiceError | RegistryError) and not isinstance(state.data, NotFound)
