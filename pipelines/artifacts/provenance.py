"""Facts of a bundle's manifest: where the model comes from, and how it was trained."""

from __future__ import annotations

import msgspec

from pipelines.artifacts.data import DataSource, LabelReport
from pipelines.artifacts.model import ParityReport, TrainingReport


class Champion(msgspec.Struct, frozen=True):
    """Version that a training is compared with, and the digest of its bundle."""

    version: str
    digest: str | None


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Data, code and configuration of a run; equal for every call that resumes it.

    `production` is None for a run that uses no labelled predictions.
    """

    usecase: str
    run_key: str
    attempt: int
    created: str
    cutoff: str | None
    seed: int
    overrides: dict[str, str]
    source: DataSource
    synthetic: bool
    data_sha256: str
    holdout_sha256: str
    champion: Champion | None
    production: LabelReport | None
    code_sha256: str
    lock_sha256: str | None
    git_commit: str | None
    git_dirty: bool | None


class BundleFacts(Provenance, frozen=True, kw_only=True):
    """Facts of a bundle's manifest: provenance, training, parity and the versions of the libraries."""

    training: TrainingReport
    libraries: dict[str, str]
    model_keras_sha256: str
    parity: ParityReport
