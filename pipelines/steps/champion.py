"""What a training is compared with: the champion's bundle and the frozen holdout, as the registry has them."""

from __future__ import annotations

from pathlib import Path

from pipelines.artifacts import sha256
from pipelines.runs.baseline import Baseline
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.errors import DataError, NotFound


def champion(name: str, standing: Baseline, out: Path) -> None:
    """Leave the champion's `bundle/` (its server's part) and the frozen `holdout.parquet` in `out`; neither, at first.

    Raises:
        BundleError: the champion is not what was registered.
        DataError: no run has the frozen holdout any more.
    """
    registry = Registry() if standing != Baseline() else None
    if registry and standing.version:
        registry.fetch_bundle(registry.version(name, standing.version), out / "bundle")
    if registry and standing.holdout_sha256:
        _fetch_holdout(registry, registry.versions(name), standing.holdout_sha256, out / "holdout.parquet")


def _fetch_holdout(registry: Registry, versions: list[ModelVersion], digest: str, into: Path) -> None:
    """Every run has logged the holdout that it was judged on; the newest that has this one gives it."""
    for version in versions:
        try:
            registry.fetch_artifact(version.run_id, f"holdout/{digest}.parquet", into)
        except NotFound:
            continue
        if sha256(into) != digest:
            raise DataError(
                f"holdout/{digest}.parquet of run {version.run_id} is not what its name says: it was changed."
            )
        return
    raise DataError(
        f"no run holds the frozen holdout {digest} that slipway.holdout_sha256 names: restore the runs, "
        "or remove that tag from the registered model to freeze a new one."
    )
