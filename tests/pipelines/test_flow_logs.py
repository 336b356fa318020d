"""A flow run logs in the trace of who asked for it, and what Prefect gets holds no secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from slipway.clients.prefect import PrefectClient
from slipway.errors import ServiceError
from slipway.trace_context import TAG, current_trace_id, traced
from tests.support.servers import asking

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SECRET = "planted-secret-0123456789"


@pytest.fixture(scope="module")
def prefect(prefect_server: str) -> Iterator[str]:
    with asking(prefect_server):
        yield prefect_server


def logs(flow_run_id: str) -> list[str]:
    """What Prefect's server has of the run's log, and of its state."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow_run_id).state
        return [*(log.message for log in client.read_logs(chosen, limit=200, offset=0)), str(state and state.message)]


def run(prefect: str, *tags: str, fail: bool = False) -> tuple[str | None, list[str]]:
    """Run a flow that logs a secret; returns its trace, and its log on Prefect's server."""
    from prefect import flow, get_run_logger
    from prefect import tags as tagged
    from prefect.runtime import flow_run

    from pipelines.flow_logs import flow_run_logs
    from pipelines.flows import prefect_logs_flushed

    found: dict[str, str | None] = {}

    @flow(name="pretended")
    def body() -> None:
        with flow_run_logs("train"):
            found.update(trace=current_trace_id(), id=flow_run.id)
            get_run_logger().warning("the password=%s was used", SECRET)
            if fail:
                raise ValueError(f"password={SECRET}")

    with prefect_logs_flushed(), tagged(*tags):
        if fail:
            with pytest.raises(ValueError, match="password"):
                body()
        else:
            body()
    return found["trace"], logs(str(found["id"]))


def test_a_run_is_in_the_trace_that_its_tag_names(prefect: str) -> None:
    with traced("f" * 32):
        trace_id, log = run(prefect, f"{TAG}what somebody typed", f"{TAG}{ID}", "drift")
    assert trace_id == ID
    assert any(f"trace.id {ID}" in line for line in log)


def test_a_run_without_a_tag_is_in_the_trace_of_its_caller_else_in_one_of_its_own(prefect: str) -> None:
    with traced(ID):
        assert run(prefect)[0] == ID
    own = [run(prefect)[0] for _ in range(2)]
    assert None not in own and len(set(own)) == 2
    assert current_trace_id() is None


def test_prefect_gets_no_secret(prefect: str) -> None:
    _, log = run(prefect, fail=True)
    assert any("the password=[hidden] was used" in line for line in log)
    assert SECRET not in "\n".join(log)


def test_a_state_shows_an_error_without_its_secret() -> None:
    from pipelines.flow_logs import errors_redacted

    with pytest.raises(ServiceError, match=r"^password=\[hidden\] is wrong$"), errors_redacted():
        raise ServiceError(f"password={SECRET} is wrong")
    with pytest.raises(OSError, match="No such file") as caught, errors_redacted():
        raise FileNotFoundError(2, "No such file", "/a")
    assert caught.value.args[:2] == (2, "No such file")


def test_a_process_of_its_own_logs_as_every_process(prefect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import flow_logs

    started: list[str] = []
    monkeypatch.setattr(flow_logs.ecs_logging, "start", started.append)
    run(prefect)
    assert started == [], "in a command's own process the log is the command's"
    monkeypatch.setattr(flow_logs, "_OWN_PROCESS", "PATH")
    run(prefect)
    assert started == ["train"]


def test_a_run_that_is_asked_for_in_a_trace_has_it_as_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[dict] = []

    def call(self: PrefectClient, kind: type, method: str, path: str, body: dict | None = None) -> object:
        bodies.append(dict(body or {}))
        return kind(id="d", parameters={}) if "parameters" in kind.__struct_fields__ else kind(id="r")

    monkeypatch.setattr(PrefectClient, "_call", call)
    client = PrefectClient("http://127.0.0.1:9/api")
    with traced(ID):
        client.start("train/loans", {}, tags=["drift"])
    client.start("train/loans", {}, tags=["drift"])
    assert [body["tags"] for body in bodies if "tags" in body] == [["drift", f"{TAG}{ID}"], ["drift"]]


@pytest.fixture(autouse=True)
def _no_filters_left() -> Iterator[None]:
    yield
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            handler.filters.clear()
