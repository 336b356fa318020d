"""Trainings by a workflow of GitHub, with those methods of PrefectClient by which the retraining policy starts one.

GitHub tells neither the inputs of a `repository_dispatch` nor a key by which to find its run. So the workflow
(`.github/workflows/train.yml`) writes them into the run's title:

    train credit_risk (drift, asked by monitor) 0123456789abcdef
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from slipway.clients.http import HttpClient, Response
from slipway.clients.prefect import FlowRun
from slipway.errors import ServiceError
from slipway.texts import one_line

T = TypeVar("T")

WORKFLOW = "train.yml"
EVENT = "train"
EVERY_USECASE = "every use case"
APPEAR_SECONDS, POLL_SECONDS = 30.0, 2.0  # a run is listed some seconds after its event was accepted
NEWEST = 50  # runs, of which each is about 15 kB
_TITLE = re.compile(rf"train (?P<usecase>{EVERY_USECASE}|\S+) \((?P<tags>[^()]*)\)(?: (?P<key>[0-9a-f]{{16}}))?")
_STATES = {"completed": "FAILED", "in_progress": "RUNNING"}
_CONCLUSIONS = {"success": "COMPLETED", "cancelled": "CANCELLED"}
_NOT_ALLOWED = (401, 403, 404)

Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Moment = Annotated[datetime, Meta(tz=True)]


class _Run(Struct, frozen=True):
    """A run of the workflow as GitHub answers it; fields that are not read here may be anything."""

    id: Id
    display_title: str
    created_at: Moment
    status: str | None = None
    conclusion: str | None = None


class _Runs(Struct, frozen=True):
    workflow_runs: list[_Run]


class GitHubClient:
    """The workflow `train` of a repository; every method raises ServiceError if GitHub does not respond, or refuses."""

    def __init__(self, repository: str, token: str, uri: str = "https://api.github.com", timeout: float = 20.0) -> None:
        self._repository = repository
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        self._http = HttpClient(uri, timeout=timeout, headers=headers)

    def start(self, deployment: str, parameters: Mapping[str, Any], key: str, tags: Sequence[str] = ()) -> str:
        """Start the training of `train/USECASE`; returns the run's id.

        If a run was started with the same `key` before, it is that run's id, and nothing is started. Two callers within
        the seconds until a run is listed start two, which the workflow runs one after the other.
        """
        if found := self.with_key(key):
            return found.id
        usecase = deployment.partition("/")[2]
        reason = ", ".join(tag for tag in tags if tag != usecase)
        payload = {**parameters, "usecase": usecase, "reason": reason, "key": _short(key)}
        self._request("POST", "dispatches", {"event_type": EVENT, "client_payload": payload})
        return self._appeared(key).id

    def flow_run(self, run_id: str) -> FlowRun:
        return _flow_run(self._read(_Run, f"actions/runs/{run_id}"))

    def with_key(self, key: str) -> FlowRun | None:
        """Find the run that was started with this key."""
        wanted = _short(key)
        return next((_flow_run(run) for run in self._runs() if _titled(run).get("key") == wanted), None)

    def under_way(self, flow: str, usecase: str) -> list[FlowRun]:
        """List the runs for a use case that wait or run, the oldest first."""
        names = (usecase, EVERY_USECASE)
        found = [run for run in self._runs() if run.status != "completed" and _titled(run).get("usecase") in names]
        return [_flow_run(run) for run in reversed(found)]

    def _appeared(self, key: str) -> FlowRun:
        """Wait until the run of the event is listed."""
        end = time.monotonic() + APPEAR_SECONDS
        while True:
            if found := self.with_key(key):
                return found
            if time.monotonic() > end:
                raise ServiceError(
                    f"GitHub accepted the event `{EVENT}` for {self._repository}, and after {APPEAR_SECONDS:.0f} s no "
                    f"run is there: has its default branch .github/workflows/{WORKFLOW}, and is the workflow enabled?"
                )
            time.sleep(POLL_SECONDS)

    def _runs(self) -> list[_Run]:
        """List the newest runs, the newest first."""
        return self._read(_Runs, f"actions/workflows/{WORKFLOW}/runs?per_page={NEWEST}").workflow_runs

    def _read(self, kind: type[T], path: str) -> T:
        response = self._request("GET", path)
        try:
            return response.read(kind)
        except ServiceError as error:
            raise ServiceError(f"{self._http.url} does not respond to {path} as GitHub does: {error}") from None

    def _request(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Response:
        try:
            response = self._http.request(method, f"/repos/{self._repository}/{path}", document=document)
        except ServiceError as error:
            raise ServiceError(f"GitHub does not respond at {self._http.url}: {error}") from None
        if response.ok:
            return response
        detail = one_line(response.content.decode(errors="replace"))
        remedy = ""
        if response.status in _NOT_ALLOWED:
            remedy = " Its token (SLIPWAY_GITHUB_TOKEN) needs the permissions contents: write and actions: read."
        raise ServiceError(f"GitHub answered {response.status} to {method} {path}: {detail}.{remedy}")


def _titled(run: _Run) -> dict[str, str | None]:
    found = _TITLE.fullmatch(run.display_title)
    return found.groupdict() if found else {}


def _flow_run(run: _Run) -> FlowRun:
    state = _STATES.get(run.status or "", "SCHEDULED")
    if run.status == "completed":
        state = _CONCLUSIONS.get(run.conclusion or "", state)
    tags = tuple(tag for tag in (_titled(run).get("tags") or "").split(", ") if tag)
    return FlowRun(str(run.id), state, one_line(run.conclusion or ""), 0.0, run.created_at, tags)


def _short(key: str) -> str:
    """The part of a key that a title has room for."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]
