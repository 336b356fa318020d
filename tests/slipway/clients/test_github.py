"""Trainings by GitHub's workflow: one event for a key, its run found by the title, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from slipway.clients import github
from slipway.clients.github import GitHubClient
from slipway.errors import ServiceError
from tests.support.doubles.github_double import GitHubDouble

TAGS = ["drift", "asked by monitor"]
KEY = "slipway-retraining-production-loans-0123"


@pytest.fixture
def server() -> Iterator[GitHubDouble]:
    with GitHubDouble() as double:
        yield double


@pytest.fixture
def client(server: GitHubDouble) -> GitHubClient:
    return GitHubClient(server.repository, server.token, server.uri)


def test_a_training_is_started_once_for_a_key_and_found_by_it(server, client):
    started = client.start("train/loans", {}, KEY, TAGS)
    assert client.start("train/loans", {}, KEY, TAGS) == started == str(server.runs[0]["id"])
    [event] = server.events
    assert event["event_type"] == "train"
    assert event["client_payload"] | {"key": ""} == {"usecase": "loans", "reason": "drift, asked by monitor", "key": ""}
    run = client.with_key(KEY)
    assert (run.id, run.state, run.tags) == (started, "SCHEDULED", tuple(TAGS))
    assert datetime.now(UTC) - run.created < timedelta(minutes=1)
    assert client.with_key("another key") is None


@pytest.mark.parametrize(
    ("status", "conclusion", "state"),
    [
        ("queued", None, "SCHEDULED"),
        ("waiting", None, "SCHEDULED"),
        ("in_progress", None, "RUNNING"),
        ("completed", "success", "COMPLETED"),
        ("completed", "failure", "FAILED"),
        ("completed", "timed_out", "FAILED"),
        ("completed", "cancelled", "CANCELLED"),
    ],
)
def test_a_run_has_the_state_that_a_flow_run_would_have(server, client, status, conclusion, state):
    run = server.add("train loans (schedule)", status, conclusion)
    assert client.flow_run(str(run["id"])).state == state


def test_runs_of_a_use_case_are_under_way_until_they_end_and_so_are_those_of_all(server, client):
    first = server.add("train loans (workflow_dispatch)", "in_progress")
    server.add("train loans (schedule)", "completed", "success")
    server.add("train digits (drift)")
    server.add("loans")
    everything = server.add("train every use case (schedule)")
    assert [run.id for run in client.under_way("train", "loans")] == [str(first["id"]), str(everything["id"])]
    assert [run.id for run in client.under_way("train", "other")] == [str(everything["id"])]


def test_an_event_without_a_run_is_an_error_that_says_where_to_look(server, client, monkeypatch):
    server.enabled = False
    monkeypatch.setattr(github, "APPEAR_SECONDS", 0.0)
    monkeypatch.setattr(github, "POLL_SECONDS", 0.0)
    with pytest.raises(ServiceError, match=r"accepted the event `train`.* is the workflow enabled\?"):
        client.start("train/loans", {}, KEY, TAGS)


def test_a_refusal_names_the_permissions_and_not_the_token(server):
    wrong = GitHubClient(server.repository, "a wrong token", server.uri)
    with pytest.raises(ServiceError) as raised:
        wrong.with_key(KEY)
    assert "GitHub answered 401 to GET actions/workflows/train.yml/runs" in str(raised.value)
    assert "contents: write and actions: read" in str(raised.value) and "wrong token" not in str(raised.value)


def test_no_github_and_another_server_are_told_apart(server):
    with pytest.raises(ServiceError, match="GitHub does not respond at http://127.0.0.1:9"):
        GitHubClient(server.repository, server.token, "http://127.0.0.1:9").with_key(KEY)
    server.answer = lambda *_: {"workflow_runs": [{"id": "seven"}]}
    with pytest.raises(ServiceError, match="does not respond .* as GitHub does"):
        GitHubClient(server.repository, server.token, server.uri).with_key(KEY)
