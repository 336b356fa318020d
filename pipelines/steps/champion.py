"""Fetch the baseline from the registry: the champion's bundle and the frozen holdout."""

from __future__ import annotations

from pathlib import Path

from pipelines.runs.baseline import Baseline
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.errors import DataError, NotFound
from slipway.system.files import file_sha256


def champion(name: str, baseline: Baseline, out: Path) -> None:
    """Write the champion's `bundle/` (the part that is served) and the frozen `holdout.parquet` into `out`, if any.

    Raises:
        BundleError: the champion differs from what was registered.
        DataError: no run has the frozen holdout, or the champion that the run began with is gone.
    """
    registry = Registry() if baseline != Baseline() else None
    if registry and baseline.version:
        registry.fetch_bundle(_find_champion(registry, name, baseline), out / "bundle")
    if registry and baseline.holdout_sha256:
        _fetch_holdout(registry, registry.versions(name), baseline.holdout_sha256, out / "holdout.parquet")


def _find_champion(registry: Registry, name: str, baseline: Baseline) -> ModelVersion:
    """Find the champion that the run began with, by its bundle: its number comes again when the model is made anew."""
    found = next((version for version in registry.versions(name) if version.digest == baseline.digest), None)
    if found is None:
        raise DataError(
            f"version {baseline.version} of {name}, the champion when this training began, is no longer in the "
            f"registry with its bundle {(baseline.digest or 'without a digest')[:12]}: train again, to compare with "
            "the champion of now."
        )
    return found


def _fetch_holdout(registry: Registry, versions: list[ModelVersion], digest: str, into: Path) -> None:
    """Fetch the holdout from the newest run that has it: every run logs the holdout that it was evaluated on."""
    for version in versions:
        try:
            registry.fetch_artifact(version.run_id, f"holdout/{digest}.parquet", into)
        except NotFound:
            continue
        if file_sha256(into) != digest:
            raise DataError(
                f"holdout/{digest}.parquet of run {version.run_id} does not match its digest: it was changed."
            )
        return
    raise DataError(
        f"no run holds the frozen holdout {digest} that slipway.holdout_sha256 names: restore the runs, "
        "or remove that tag from the registered model to freeze a new one."
    )
