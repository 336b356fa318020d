"""The MLflow run of a training: from it one reaches parameters, metrics, curves, plots, data docs, card and data."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.artifacts import RunPaths, read_json
from pipelines.packaging.mlflow_signature import write_mlmodel
from slipway.config import UseCase
from slipway.contracts.schema import Schema
from slipway.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

RUN_KEY = "slipway.run_key"
PRODUCTION_ROWS = "slipway.production_rows"
_CLIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output is for `--json`
}
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # its pages otherwise take it for language models'
_MOST_METRICS = 1000  # MLflow's own limit for one request
_LONGEST = 500


@contextmanager
def client(uri: str) -> Iterator[MlflowClient]:
    """MLflow's client, without its minutes of retries.

    Raises:
        RegistryError: the server does not answer, or refuses what it is asked.
    """
    for name, value in _CLIENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        yield MlflowClient(uri, uri)
    except (MlflowException, OSError) as error:
        raise RegistryError(
            f"the registry {uri} failed: {error}. What is trained is kept: the same command goes on from here."
        ) from error


def log_run(mlflow: MlflowClient, usecase: UseCase, run: RunPaths, facts: dict[str, Any]) -> Run:
    """The finished MLflow run with everything in it; one that was killed half-way is removed first."""
    experiment = _experiment(mlflow, usecase.name)
    for old in mlflow.search_runs([experiment], f"tags.`{RUN_KEY}` = '{facts['run_key']}'"):
        mlflow.delete_run(old.info.run_id)
    found = mlflow.create_run(
        experiment, tags=_tags(usecase, run, facts), run_name=f"{usecase.name} {facts['run_key'][:8]}"
    )
    run_id = found.info.run_id
    _log_numbers(mlflow, run_id, usecase, run, facts)
    _log_files(mlflow, run_id, run, facts)
    _log_dataset(mlflow, found, usecase, run, facts)
    mlflow.set_terminated(run_id)
    return found


def _experiment(mlflow: MlflowClient, name: str) -> str:
    found = mlflow.get_experiment_by_name(name)
    if found and found.lifecycle_stage == "deleted":
        mlflow.restore_experiment(found.experiment_id)
    return found.experiment_id if found else mlflow.create_experiment(name, tags=_KIND)


def _tags(usecase: UseCase, run: RunPaths, facts: dict[str, Any]) -> dict[str, str]:
    tags = {
        RUN_KEY: facts["run_key"],
        "slipway.synthetic": str(bool(facts.get("synthetic"))).lower(),
        "mlflow.user": getpass.getuser(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": f"slipway train {usecase.name}",
        "mlflow.note.content": (run.bundle / "bundle" / "card.md").read_text()[:7500],
    }
    if facts.get("production"):
        tags[PRODUCTION_ROWS] = str(facts["production"].get("rows", {}).get("production", 0))
    return tags | ({"mlflow.source.git.commit": facts["git_commit"]} if facts.get("git_commit") else {})


def _log_numbers(mlflow: MlflowClient, run_id: str, usecase: UseCase, run: RunPaths, facts: dict[str, Any]) -> None:
    from mlflow.entities import Param

    training = read_json(run.train / "training.json")
    whole = {
        name: training[name] for name in ("network", "device", "strategy", "best_epoch", "temperature", "threshold")
    }
    used = {**training["params"], **whole, "seed": usecase.seed, "split.salt": usecase.split.salt}
    used |= _production_params(facts)
    params = [Param(name, str(value)[:_LONGEST]) for name, value in used.items()]
    mlflow.log_batch(run_id, params=params)
    metrics = [*_scores(read_json(run.gate / "metrics.json")), *_curves(read_json(run.train / "history.json"))]
    for start in range(0, len(metrics), _MOST_METRICS):
        mlflow.log_batch(run_id, metrics=metrics[start : start + _MOST_METRICS])


def _production_params(facts: dict[str, Any]) -> dict[str, Any]:
    """`production.rows`, `production.window` and so on, where the run was given labelled rows of production."""
    told = facts.get("production") or {}
    if "rows" not in told:
        return {}
    change = told["change"] or {}
    return {
        "production.rows": told["rows"]["production"],
        "production.window": told["rows"]["window"],
        "production.cutoff": told["cutoff"],
        "production.change": change.get("at"),
        "production.weight_before_change": (told.get("joined") or {}).get("weight_before_change"),
    }


def _scores(metrics: dict[str, Any]) -> list[Metric]:
    """`roc_auc`, with `roc_auc_low` and `roc_auc_high`; the baseline's as `baseline_roc_auc`."""
    named = dict(metrics["scores"])
    if base := metrics["baseline"]:
        named[f"baseline_{base['metric']}"] = base
    ends = {"": "value", "_low": "low", "_high": "high"}
    return [
        _metric(f"{name}{end}", found[part])
        for name, found in named.items()
        for end, part in ends.items()
        if found[part] is not None
    ]


def _curves(history: dict[str, list[float]]) -> list[Metric]:
    """`train_loss`, `val_loss` and so on, a step per epoch."""
    return [
        _metric(name if name.startswith("val_") else f"train_{name}", value, epoch)
        for name, values in history.items()
        for epoch, value in enumerate(values, start=1)
    ]


def _metric(name: str, value: float, step: int = 0) -> Metric:
    from mlflow.entities import Metric

    return Metric(name, value, int(time.time() * 1000), step)


def _log_files(mlflow: MlflowClient, run_id: str, run: RunPaths, facts: dict[str, Any]) -> None:
    """The bundle with its signature, the data under their digests, and what people read."""
    held_out = read_json(run.split / "split.json")["holdout_sha256"]
    snapshot = read_json(run.ingest / "source.json")["snapshot_sha256"]
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch)
        shutil.copytree(run.bundle / "bundle", staged / "bundle")
        _describe(staged / "bundle", run_id)
        tables = [
            ("snapshot", snapshot, run.ingest / "snapshot.parquet"),
            ("holdout", held_out, run.split / "holdout.parquet"),
        ]
        if told := facts.get("production"):
            shutil.copyfile(run.production / "production.json", staged / "production.json")
            digests = told.get("sha256", {}).items()
            tables += [("production", digest, run.production / f"{name}.parquet") for name, digest in digests]
        for folder, digest, path in tables:
            (staged / folder).mkdir(exist_ok=True)
            shutil.copyfile(path, staged / folder / f"{digest}.parquet")
        shutil.copytree(run.validate / "docs", staged / "data_docs")
        shutil.copytree(run.evaluate / "plots", staged / "plots")
        shutil.copyfile(run.bundle / "bundle" / "card.md", staged / "card.md")
        shutil.copyfile(run.train / "model.keras", staged / "model.keras")
        mlflow.log_artifacts(run_id, str(staged))


def _describe(folder: Path, run_id: str) -> None:
    write_mlmodel(
        Schema.load(folder / "serve" / "schema.json"), read_json(folder / "serve" / "probe.json"), run_id, folder
    )


def _log_dataset(mlflow: MlflowClient, found: Run, usecase: UseCase, run: RunPaths, facts: dict[str, Any]) -> None:
    """The snapshot as the run's dataset: MLflow's pages then show which runs saw the same data."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    from pipelines.packaging.mlflow_signature import signature

    schema = Schema.load(run.train / "schema.json")
    source, digest = read_json(run.ingest / "source.json"), facts["data_sha256"]
    dataset = Dataset(
        name=f"{usecase.name}{' (synthetic)' if source['synthetic'] else ''}",
        digest=digest[:36],
        source_type="http",
        source=json.dumps({"url": f"{found.info.artifact_uri}/snapshot/{digest}.parquet", "origin": source["origin"]}),
        schema=json.dumps({"mlflow_colspec": signature(schema).inputs.to_dict()}),
        profile=json.dumps({"num_rows": source["rows"]}),
    )
    mlflow.log_inputs(found.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
