"""The retraining policy against a real Prefect and a real registry: what starts a training, and what refuses one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.decisions import Decisions
from monitoring.retrain import ask
from slipway import audit
from slipway.errors import SlipwayError, UseCaseError
from slipway.registry import Registry
from slipway.settings import settings
from tests.monitoring import retraining as made

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def prefect() -> Iterator[str]:
    with made.prefect_server() as uri:
        yield uri


@pytest.fixture
def loans(tmp_path: Path, mlflow_server: str, prefect: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A use case with a champion, 60 new labels and a deployment: nothing refuses its retraining."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("PREFECT_API_URL", prefect)
    name = made.register(mlflow_server, tmp_path)
    made.write_usecase(tmp_path / "usecases", name, monkeypatch)
    made.deploy(name)
    made.label(name, 60)
    return name


def test_drift_and_enough_new_labels_start_one_run(loans: str) -> None:
    decision = ask(loans, "drift", "monitor", {"drifted": ["age"]})
    assert (decision.outcome, decision.asked_for, decision.asked_by) == ("started", "drift", "monitor")
    assert decision.reason.startswith("60 labelled rows are new since version 1 was trained")
    assert decision.evidence == {"drifted": ["age"], "labelled_rows": 60}
    [run] = made.runs(loans)
    assert (str(run.id), run.parameters["usecase"]) == (decision.flow_run_id, loans)
    assert {"drift", "asked by monitor"} <= set(run.tags)
