"""The retraining policy with GitHub in place of Prefect: what starts the workflow `train`, and what refuses it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitoring.retraining.policy import request_retraining
from monitoring.status.dashboard import flow_runs
from slipway.settings import settings
from tests.monitoring.retraining import requests as made
from tests.support.doubles.github_double import GitHubDouble
from tests.support.doubles.mlflow_double import MlflowDouble


@pytest.fixture
def server() -> Iterator[GitHubDouble]:
    with GitHubDouble() as double:
        yield double


@pytest.fixture
def loans(tmp_path, server, monkeypatch) -> Iterator[str]:
    """A use case with a champion and 60 new labels, and a repository that trains it."""
    with MlflowDouble() as mlflow:
        for name, value in {
            "MLFLOW_TRACKING_URI": mlflow.uri,
            "SLIPWAY_RETRAINING_REPOSITORY": server.repository,
            "SLIPWAY_GITHUB_TOKEN": server.token,
            "SLIPWAY_GITHUB_API": server.uri,
        }.items():
            monkeypatch.setenv(name, value)
        name = made.register(mlflow.uri, tmp_path)
        made.write_usecase(tmp_path / "usecases", name, monkeypatch)
        settings.cache_clear()
        made.label(name, 60)
        yield name


def test_drift_and_enough_new_labels_start_one_run_of_the_workflow(loans, server):
    decision = request_retraining(loans, "drift", "monitor")
    [run] = server.runs
    assert (decision.outcome, decision.flow_run_id) == ("started", str(run["id"])), decision.reason
    assert run["display_title"].startswith(f"train {loans} (drift, asked by monitor) ")
    again = request_retraining(loans, "drift", "alertmanager")
    assert (again.outcome, again.rule, len(server.events)) == ("refused", "under_way", 1)
    run |= {"status": "completed", "conclusion": "success"}
    assert request_retraining(loans, "drift", "alertmanager").rule == "cooldown"


def test_a_run_that_a_person_started_refuses_another(loans, server):
    server.add(f"train {loans} (workflow_dispatch)", "in_progress")
    decision = request_retraining(loans, "drift", "monitor")
    assert (decision.rule, server.events) == ("under_way", [])


def test_a_start_whose_record_was_lost_is_found_by_its_key(loans, server, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("monitoring.retraining.decisions.Decisions.start", _killed)
        request_retraining(loans, "quality", "alertmanager")
    decision = request_retraining(loans, "drift", "monitor")
    assert (decision.rule, len(server.events)) == ("under_way", 1)


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_github_that_refuses_is_a_reason_like_a_prefect_that_is_down(loans, server, monkeypatch):
    monkeypatch.setenv("SLIPWAY_GITHUB_TOKEN", "of somebody else")
    settings.cache_clear()
    decision = request_retraining(loans, "drift", "monitor")
    assert (decision.outcome, decision.rule) == ("refused", "github")
    assert "SLIPWAY_GITHUB_TOKEN" in decision.reason and "somebody" not in decision.reason


@pytest.mark.parametrize(
    ("api", "page"),
    [
        ("https://api.github.com", "https://github.com/example/slipway/actions/runs"),
        ("https://github.example.com/api/v3", "https://github.example.com/example/slipway/actions/runs"),
    ],
)
def test_the_status_page_links_to_the_run_on_github(loans, api, page, monkeypatch):
    monkeypatch.setenv("SLIPWAY_GITHUB_API", api)
    settings.cache_clear()
    assert flow_runs(settings()) == page
