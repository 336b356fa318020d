"""Log a training as an MLflow run: parameters, metrics, curves, plots, data docs, model card and data."""

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

from pipelines.artifacts import (
    BaselineScore,
    DataSource,
    GatedReport,
    History,
    LabelReport,
    Probe,
    Provenance,
    RunPaths,
    Score,
    SplitReport,
    TrainingReport,
    read_history,
)
from pipelines.packaging.mlflow_signature import write_mlmodel
from slipway.clients.mlflow.metric_keys import allowed_keys
from slipway.config import UseCase
from slipway.contracts.registry_names import PRODUCTION_ROWS, RUN_KEY, SYNTHETIC
from slipway.contracts.schema import Schema
from slipway.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

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
    """Yield MLflow's client, without its minutes of retries.

    Raises:
        RegistryError: the server does not respond, or refuses a request.
    """
    for name, value in _CLIENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        yield MlflowClient(uri, uri)
    except (MlflowException, OSError) as error:
        raise RegistryError(
            f"the registry {uri} failed: {error}. The training is kept: the same command resumes here."
        ) from error


def log_run(mlflow: MlflowClient, usecase: UseCase, run: RunPaths, provenance: Provenance) -> Run:
    """Create the finished MLflow run with all its content; one of an earlier call that was killed is deleted first."""
    experiment = _experiment(mlflow, usecase.name)
    for old in mlflow.search_runs([experiment], f"tags.`{RUN_KEY}` = '{provenance.run_key}'"):
        mlflow.delete_run(old.info.run_id)
    found = mlflow.create_run(
        experiment, tags=_tags(usecase, run, provenance), run_name=f"{usecase.name} {provenance.run_key[:8]}"
    )
    run_id = found.info.run_id
    _log_numbers(mlflow, run_id, usecase, run, provenance)
    _log_files(mlflow, run_id, run, provenance)
    _log_dataset(mlflow, found, usecase, run, provenance)
    mlflow.set_terminated(run_id)
    return found


def _experiment(mlflow: MlflowClient, name: str) -> str:
    found = mlflow.get_experiment_by_name(name)
    if found and found.lifecycle_stage == "deleted":
        mlflow.restore_experiment(found.experiment_id)
    return found.experiment_id if found else mlflow.create_experiment(name, tags=_KIND)


def _tags(usecase: UseCase, run: RunPaths, provenance: Provenance) -> dict[str, str]:
    tags = {
        RUN_KEY: provenance.run_key,
        SYNTHETIC: str(provenance.synthetic).lower(),
        "mlflow.user": getpass.getuser(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": f"slipway train {usecase.name}",
        "mlflow.note.content": (run.bundle / "bundle" / "card.md").read_text()[:7500],
    }
    if provenance.production:
        tags[PRODUCTION_ROWS] = str(provenance.production.rows.production if provenance.production.rows else 0)
    return tags | ({"mlflow.source.git.commit": provenance.git_commit} if provenance.git_commit else {})


def _log_numbers(mlflow: MlflowClient, run_id: str, usecase: UseCase, run: RunPaths, provenance: Provenance) -> None:
    from mlflow.entities import Param

    training = TrainingReport.read(run.train)
    results = {
        name: getattr(training, name)
        for name in ("network", "device", "strategy", "best_epoch", "temperature", "threshold")
    }
    own = {**results, "seed": usecase.seed, "split.salt": usecase.split.salt, **_label_params(provenance.production)}
    used = {f"params.{name}" if name in own else name: value for name, value in training.params.items()} | own
    key = allowed_keys(used)
    params = [Param(key[name], str(value)[:_LONGEST]) for name, value in used.items()]
    mlflow.log_batch(run_id, params=params)
    metrics = [*_scores(GatedReport.read(run.gate)), *_curves(read_history(run.train))]
    for start in range(0, len(metrics), _MOST_METRICS):
        mlflow.log_batch(run_id, metrics=metrics[start : start + _MOST_METRICS])


def _label_params(labels: LabelReport | None) -> dict[str, Any]:
    """Return `production.rows`, `production.window` and so on; nothing if no labelled predictions were used."""
    if labels is None or not labels.rows:
        return {}
    return {
        "production.rows": labels.rows.production,
        "production.window": labels.rows.window,
        "production.cutoff": labels.cutoff,
        "production.change": labels.change.at if labels.change else None,
        "production.weight_before_change": labels.joined.weight_before_change if labels.joined else None,
    }


def _scores(report: GatedReport) -> list[Metric]:
    """Return `roc_auc`, `roc_auc_low`, `roc_auc_high` and so on; of the baselines, `trivial_…` and `baseline_…`."""
    named: dict[str, Score | BaselineScore] = dict(report.scores)
    for prefix, base in (("trivial", report.trivial), ("baseline", report.baseline)):
        if base:
            named[f"{prefix}_{base.metric}"] = base
    parts = [
        (f"{name}{end}", value)
        for name, score in named.items()
        for end, value in (("", score.value), ("_low", score.low), ("_high", score.high))
    ]
    return [_metric(name, value) for name, value in parts if value is not None]


def _curves(history: History) -> list[Metric]:
    """Return `train_loss`, `val_loss` and so on, one step per epoch."""
    return [
        _metric(name if name.startswith("val_") else f"train_{name}", value, epoch)
        for name, values in history.items()
        for epoch, value in enumerate(values, start=1)
    ]


def _metric(name: str, value: float, step: int = 0) -> Metric:
    from mlflow.entities import Metric

    return Metric(name, value, int(time.time() * 1000), step)


def _log_files(mlflow: MlflowClient, run_id: str, run: RunPaths, provenance: Provenance) -> None:
    """Upload the bundle with its MLflow signature, the data by their digests, and the pages for people."""
    holdout = SplitReport.read(run.split).holdout_sha256
    snapshot = DataSource.read(run.ingest).snapshot_sha256
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch)
        shutil.copytree(run.bundle / "bundle", staged / "bundle")
        _write_mlmodel(staged / "bundle", run_id)
        tables = [
            ("snapshot", snapshot, run.ingest / "snapshot.parquet"),
            ("holdout", holdout, run.split / "holdout.parquet"),
        ]
        if labels := provenance.production:
            shutil.copyfile(run.production / LabelReport.FILE, staged / LabelReport.FILE)
            digests = (labels.sha256 or {}).items()
            tables += [("production", digest, run.production / f"{name}.parquet") for name, digest in digests]
        for folder, digest, path in tables:
            (staged / folder).mkdir(exist_ok=True)
            shutil.copyfile(path, staged / folder / f"{digest}.parquet")
        shutil.copytree(run.validate / "docs", staged / "data_docs")
        shutil.copytree(run.evaluate / "plots", staged / "plots")
        shutil.copyfile(run.bundle / "bundle" / "card.md", staged / "card.md")
        shutil.copyfile(run.train / "model.keras", staged / "model.keras")
        mlflow.log_artifacts(run_id, str(staged))


def _write_mlmodel(folder: Path, run_id: str) -> None:
    write_mlmodel(Schema.load(folder / "serve" / "schema.json"), Probe.read(folder / "serve"), run_id, folder)


def _log_dataset(mlflow: MlflowClient, found: Run, usecase: UseCase, run: RunPaths, provenance: Provenance) -> None:
    """Log the snapshot as the run's dataset, so that MLflow's pages show which runs used the same data."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    from pipelines.packaging.mlflow_signature import signature

    schema = Schema.load(run.train / "schema.json")
    source, digest = DataSource.read(run.ingest), provenance.data_sha256
    dataset = Dataset(
        name=f"{usecase.name}{' (synthetic)' if source.synthetic else ''}",
        digest=digest[:36],
        source_type="http",
        source=json.dumps({"url": f"{found.info.artifact_uri}/snapshot/{digest}.parquet", "origin": source.origin}),
        schema=json.dumps({"mlflow_colspec": signature(schema).inputs.to_dict()}),
        profile=json.dumps({"num_rows": source.rows}),
    )
    mlflow.log_inputs(found.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
