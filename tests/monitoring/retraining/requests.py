"""Synthetic loans whose retraining is requested: a registered champion, labelled answers, a deployment in Prefect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slipway.clients.mlflow.registry import Registry
from slipway.settings import settings
from tests.support.prediction_log import watched_loans as loans
from tests.support.servers import publish, unique_name

POLICY = "retraining: {min_labelled_rows: 50, cooldown_hours: 24, runs_per_week: 2}\n"


def deploy(usecase: str) -> None:
    """`train/USECASE`, which nobody runs."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("train")
        client.create_deployment(flow, usecase, parameters={"usecase": usecase}, enforce_parameter_schema=False)


def runs(usecase: str) -> list[Any]:
    """Every flow run of the deployment."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    named = DeploymentFilter(name=DeploymentFilterName(any_=[usecase]))
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(deployment_filter=named, sort=FlowRunSort.ID_DESC, limit=200)


def begin(usecase: str, state: str, deployed: bool = True, **more: Any) -> None:
    """A training that a person began, in that state: by the deployment, or with the command `slipway train`."""
    from prefect import flow, states
    from prefect.client.orchestration import get_client

    @flow(name="train")
    def train(usecase: str) -> None: ...

    wanted = getattr(states, state)(**more)
    with get_client(sync_client=True) as client:
        if deployed:
            deployment = client.read_deployment_by_name(f"train/{usecase}")
            run = client.create_flow_run_from_deployment(deployment.id, state=wanted)
        else:
            run = client.create_flow_run(train, parameters={"usecase": usecase}, state=wanted)
        client.set_flow_run_state(run.id, wanted, force=True)


def end(run: Any, kind: str = "Completed") -> None:
    """Bring a flow run into a final state, as its runner would."""
    from prefect import states
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, getattr(states, kind)(), force=True)


def register(uri: str, folder: Path, days_ago: float = 7) -> str:
    """A use case of a name of its own with a champion that was trained then; its name."""
    name = unique_name("loans")
    digest = loans.write_bundle(folder / name, loans.rows(300, seed=1), usecase=name)
    cutoff = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()
    version = publish(uri, name, folder / name, {"slipway.cutoff": cutoff, "slipway.bundle_sha256": digest})
    Registry(uri).set_alias(name, "champion", version)
    return name


def write_usecase(folder: Path, name: str, patch: pytest.MonkeyPatch, policy: str = POLICY) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    text = loans.USECASE_YAML.replace("name: loans", f"name: {name}") + policy
    (folder / name / "usecase.yaml").write_text(text)
    patch.setenv("SLIPWAY_USECASES", str(folder))
    settings.cache_clear()


def label(
    usecase: str,
    rows: int,
    minutes_ago: float = 5,
    seed: int = 2,
    known: str | None = None,
    digest: str = "b" * 64,
) -> None:
    """So many answered predictions of the champion, each with its label, sent now."""
    frame = loans.rows(rows, seed)
    ids = loans.answer(frame, digest, minutes_ago=minutes_ago, usecase=usecase)
    loans.log_labels(ids, frame["label_true"], usecase, known)
