"""Registration of a tampered version, as anybody with write access to the registry could do it."""

from __future__ import annotations

from pathlib import Path

from scenarios.closed_loop import faulty_models
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle.manifest import MANIFEST
from slipway.contracts.registry_names import BUNDLE_SHA256, GATE
from slipway.contracts.schema import Schema
from slipway.inference import rows_from_frame
from slipway.system.files import file_sha256


def register(name: str, champion: str, kind: str, part: faulty_models.Slice, scratch: Path) -> str:
    """Tamper with the champion's bundle, invisibly on its probe and holdout, and register it; returns the version."""
    registry = Registry()
    version = registry.version(name, champion)
    sound, tampered = scratch / "champion", scratch / "tampered"
    registry.fetch_bundle(version, sound, serving_only=False)
    faulty_models.write(sound, tampered, kind, _holdout(registry, version.run_id, sound, scratch), part)
    return register_bundle(registry, version, tampered, f"sabotage: {kind}", "failed")


def register_bundle(registry: Registry, champion: ModelVersion, bundle: Path, run_name: str, gate: str) -> str:
    """Register a bundle as a version beside the champion, with a verdict of its gates; returns the version."""
    from mlflow import MlflowClient

    mlflow = MlflowClient(registry.uri, registry.uri)
    run = mlflow.create_run(registry.run(champion.run_id).info.experiment_id, run_name=run_name)
    mlflow.log_artifacts(run.info.run_id, str(bundle), "bundle")
    mlflow.set_terminated(run.info.run_id)
    tags = {BUNDLE_SHA256: file_sha256(bundle / MANIFEST), GATE: gate}
    source = f"{run.info.artifact_uri}/bundle"
    made = mlflow.create_model_version(champion.name, source, run.info.run_id, tags=tags, await_creation_for=0)
    return str(made.version)


def _holdout(registry: Registry, run_id: str, bundle: Path, scratch: Path) -> list[dict]:
    from pipelines.data.dataset import read_holdout

    [path] = [path for path in registry.artifacts(run_id, "holdout") if path.endswith(".parquet")]
    frame = read_holdout(registry.fetch_artifact(run_id, path, scratch / "holdout.parquet"))
    return rows_from_frame(Schema.load(bundle / "serve" / "schema.json"), frame)
