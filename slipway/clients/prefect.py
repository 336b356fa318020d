"""Flow runs over Prefect's REST API, without Prefect's client, whose import takes seconds."""

from __future__ import annotations

import base64
import os
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from slipway.clients.http import HttpClient, Response
from slipway.errors import ServiceError
from slipway.texts import one_line
from slipway.trace_context import TAG, current_trace_id

T = TypeVar("T")

AUTH_STRING = "PREFECT_API_AUTH_STRING"  # Prefect's variable of a login, USER:PASSWORD
POLL_SECONDS = 2.0
BUSY, BUSY_TRIES, BUSY_SECONDS = 503, 10, 1.0
DONE = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
UNDER_WAY = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
DUE = timedelta(minutes=1)
# A runner that is killed before its run began leaves it pending for ever; one that runs has a heartbeat to miss.
LONGEST_PENDING = timedelta(hours=1)


Id = Annotated[str, Meta(pattern=r"^[0-9A-Za-z-]{1,64}$")]  # it becomes part of a path
Moment = Annotated[datetime, Meta(tz=True)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]


class Deployment(Struct, frozen=True):
    """A deployment; without a work pool, a process serves it. `version` is that of its code."""

    id: Id
    parameters: dict[str, Any]
    version: str | None = None
    work_pool_name: str | None = None


class _Created(Struct, frozen=True):
    id: Id


class _State(Struct, frozen=True):
    type: str
    timestamp: Moment | None = None
    message: str | None = None


class _Run(Struct, frozen=True):
    """A flow run as Prefect answers it; fields that are not read here may be anything."""

    id: Id
    total_run_time: Seconds
    state: _State | None = None
    created: Moment | None = None
    tags: tuple[str, ...] = ()
    parameters: dict[str, Any] = {}


class _Task(Struct, frozen=True):
    name: str
    total_run_time: Seconds
    state_type: str | None = None


@dataclass(frozen=True)
class FlowRun:
    """A flow run; `state` is as Prefect names it, `message` the reason of a failure, `created` a time in UTC."""

    id: str
    state: str
    message: str
    seconds: float
    created: datetime | None = None
    tags: tuple[str, ...] = ()

    @property
    def completed(self) -> bool:
        return self.state == "COMPLETED"


class PrefectClient:
    """A Prefect server; every method raises ServiceError if it does not respond, or not as Prefect does."""

    def __init__(self, uri: str, timeout: float = 20.0) -> None:
        self._uri = uri
        self._http = HttpClient(uri, timeout=timeout)

    def start(
        self,
        deployment: str,
        parameters: Mapping[str, Any],
        key: str | None = None,
        tags: Sequence[str] = (),
    ) -> str:
        """Start a deployment such as `train/digits` with further parameters and tags; returns the flow run's id.

        A tag names the trace in which this is called, and in which the flow run logs.

        If a run was started with the same `key` before, by anybody, it is that run's id, and nothing is started.
        """
        found = self._call(Deployment, "GET", f"deployments/name/{urllib.parse.quote(deployment)}")
        body = {
            "parameters": {**found.parameters, **parameters},
            "state": {"type": "SCHEDULED"},
            "idempotency_key": key or str(uuid.uuid4()),
            "tags": [*tags, *_trace_tags()],
        }
        return self._call(_Created, "POST", f"deployments/{found.id}/create_flow_run", body).id

    def deployment(self, flow: str, name: str) -> Deployment | None:
        """Find a flow's deployment by its name."""
        body = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [name]}}}
        found = self._call(list[Deployment], "POST", "deployments/filter", body)
        return found[0] if found else None

    def flow_run(self, run_id: str) -> FlowRun:
        return _flow_run(self._call(_Run, "GET", f"flow_runs/{run_id}"))

    def with_key(self, key: str) -> FlowRun | None:
        """Find the run that was started with this key."""
        found = self._runs({"flow_runs": {"idempotency_key": {"any_": [key]}}})
        return _flow_run(found[0]) if found else None

    def under_way(self, flow: str, usecase: str) -> list[FlowRun]:
        """List the flow's runs for a use case that are due, pending or running, the oldest first.

        Runs that a schedule has planned for later are not among them.
        """
        now = datetime.now(UTC)
        body = {
            "flows": {"name": {"any_": [flow]}},
            "flow_runs": {
                "state": {"type": {"any_": list(UNDER_WAY)}},
                "expected_start_time": {"before_": (now + DUE).isoformat()},
            },
            "sort": "EXPECTED_START_TIME_ASC",
        }
        return [_flow_run(run) for run in self._runs(body, usecase) if _lives(run, now)]

    def begun(self, flow: str, usecase: str, since: datetime) -> list[FlowRun]:
        """List the flow's runs for a use case that were to start since then, in any state, the oldest first."""
        body = {
            "flows": {"name": {"any_": [flow]}},
            "flow_runs": {"expected_start_time": {"after_": since.isoformat()}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        return [_flow_run(run) for run in self._runs(body, usecase)]

    def tasks(self, run_id: str) -> Iterator[tuple[str, str, float]]:
        """List name, state and seconds of the run's tasks, in the order in which they started."""
        body = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        for task in self._call(list[_Task], "POST", "task_runs/filter", body):
            yield task.name.rpartition("-")[0] or task.name, task.state_type or "PENDING", task.total_run_time

    def wait(self, runs: Mapping[str, str], say: Callable[[str], None]) -> dict[str, FlowRun]:
        """Wait for runs to finish; returns them by the same names. Each task that ends is reported to `say`."""
        finished: dict[str, FlowRun] = {}
        reported: set[tuple[str, str]] = set()
        while len(finished) < len(runs):
            time.sleep(POLL_SECONDS)
            for name, run_id in runs.items():
                if name in finished:
                    continue
                run = self.flow_run(run_id)
                for task, state, seconds in self.tasks(run_id):
                    if state in DONE and (name, task) not in reported:
                        reported.add((name, task))
                        say(f"  {name}: {task} {state.lower()} ({seconds:.0f} s)")
                if run.state in DONE:
                    finished[name] = run
        return finished

    def _runs(self, body: Mapping[str, Any], usecase: str | None = None) -> list[_Run]:
        """Find runs, of a use case if one is named."""
        found = self._call(list[_Run], "POST", "flow_runs/filter", body)
        return [run for run in found if usecase is None or run.parameters.get("usecase") == usecase]

    def _call(self, kind: type[T], method: str, path: str, body: Mapping[str, Any] | None = None) -> T:
        """Send a request, again while the server is busy: on SQLite, that is, while its database is locked."""
        for _ in range(BUSY_TRIES):
            response = self._once(method, path, body)
            if response.status != BUSY:
                break
            time.sleep(BUSY_SECONDS)
        if not response.ok:
            detail = one_line(response.content.decode(errors="replace"))
            raise ServiceError(f"Prefect answered {response.status} to {method} {path}: {detail}")
        try:
            return response.read(kind)
        except ServiceError as error:
            raise ServiceError(
                f"{self._uri} does not respond to {path} as Prefect does ({error}): is another program there?"
            ) from None

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Response:
        try:
            return self._http.request(method, f"/{path}", document=body, headers=authorization(os.environ))
        except ServiceError as error:
            raise ServiceError(f"Prefect does not respond at {self._uri}: {error}") from None


def _flow_run(found: _Run) -> FlowRun:
    state = found.state
    return FlowRun(
        id=found.id,
        state=state.type if state else "PENDING",
        message=one_line(state.message or "") if state else "",
        seconds=found.total_run_time,
        created=found.created,
        tags=found.tags,
    )


def _trace_tags() -> list[str]:
    trace_id = current_trace_id()
    return [TAG + trace_id] if trace_id else []


def _lives(run: _Run, now: datetime) -> bool:
    state = run.state
    if state is None or state.type != "PENDING" or state.timestamp is None:
        return True
    return now - state.timestamp < LONGEST_PENDING


def authorization(environment: Mapping[str, str]) -> dict[str, str]:
    """The credentials in Prefect's own variables, as its client sends them: a login before a key of Prefect Cloud."""
    if pair := environment.get(AUTH_STRING):
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if key := environment.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    return {}
