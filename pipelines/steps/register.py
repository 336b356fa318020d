"""Register a finished bundle as a version of the model; one that a gate refuses is registered as refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from pipelines.artifacts import GatedReport, Provenance, Registration, RunPaths
from pipelines.packaging import mlflow_run
from pipelines.packaging.score_words import format_score
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.config import UseCase
from slipway.contracts import registry_names as names
from slipway.contracts.bundle import gate_report
from slipway.contracts.bundle import manifest as bundles
from slipway.errors import NotFound
from slipway.evaluation.metrics import METRICS
from slipway.system.files import file_sha256

_WAIVED = "gate.waived"


def register(usecase: UseCase, run: RunPaths, provenance: Provenance, out: Path) -> None:
    """Write `result.json` into `out`: the version of this run, made now or by an earlier call that was killed.

    Raises:
        RegistryError: the registry does not respond; the run is kept, and the same command resumes here.
        ServiceError, OSError: the audit log cannot be written; likewise.
    """
    registry = Registry()
    existing = find_version(registry, usecase.name, provenance.run_key)
    verdict = gate_report.read_gate_report(run.bundle / "bundle")
    version = existing or publish(registry, usecase, run, provenance, verdict)
    if names.HOLDOUT_SHA256 not in registry.model(usecase.name).tags:
        registry.set_model_tag(usecase.name, names.HOLDOUT_SHA256, provenance.holdout_sha256)
    record_waivers(version, verdict)
    if verdict.passed:
        set_challenger(registry, version)
    Registration(
        name=usecase.name,
        version=version.version,
        run_id=version.run_id,
        gate="passed" if verdict.passed else "refused",
        reasons=verdict.reasons,
        digest=version.digest,
        already=existing is not None,
    ).write(out)


def find_version(registry: Registry, name: str, run_key: str) -> ModelVersion | None:
    """Return the version with that run key, if it is registered."""
    try:
        found = registry.versions(name)
    except NotFound:
        return None
    return next((version for version in found if version.tags.get(names.RUN_KEY) == run_key), None)


def publish(
    registry: Registry, usecase: UseCase, run: RunPaths, provenance: Provenance, verdict: gate_report.GateReport
) -> ModelVersion:
    """Log the run, then create the version with all its tags in one request, so that none exists without them."""
    with mlflow_run.client(registry.uri) as mlflow:
        logged = mlflow_run.log_run(mlflow, usecase, run, provenance)
        _require_model(mlflow, registry, usecase, provenance)
        made = mlflow.create_model_version(
            usecase.name,
            f"{logged.info.artifact_uri}/bundle",
            logged.info.run_id,
            tags=_tags(run, provenance, verdict),
            description=_description(usecase, run, provenance, verdict),
            await_creation_for=0,
        )
    return registry.version(usecase.name, str(made.version))


def record_waivers(version: ModelVersion, verdict: gate_report.GateReport) -> None:
    """Write an audit line for each waived gate, unless an earlier call has written it."""
    waived = [gate for gate in verdict.gates if gate.verdict == "waived"]
    lines = audit.lines(version.name) if waived else []
    written = {line.evidence["name"] for line in lines if (line.action, line.version) == (_WAIVED, version.version)}
    for gate in waived:
        if gate.name not in written:
            evidence = msgspec.to_builtins(gate)
            audit.append(
                version.name,
                _WAIVED,
                version=version.version,
                who="slipway train",
                why=gate.sentence,
                evidence=evidence,
            )


def set_challenger(registry: Registry, version: ModelVersion) -> None:
    """Give the version the alias `challenger`, unless a newer version has it: a run may be resumed late."""
    current = registry.model(version.name).aliases.get(names.CHALLENGER)
    if current is None or int(current) < int(version.version):
        registry.set_alias(version.name, names.CHALLENGER, version.version)


def _require_model(mlflow: Any, registry: Registry, usecase: UseCase, provenance: Provenance) -> None:
    try:
        registry.model(usecase.name)
    except NotFound:
        tags = {names.HOLDOUT_SHA256: provenance.holdout_sha256}
        mlflow.create_registered_model(usecase.name, tags, usecase.description)


def _tags(run: RunPaths, provenance: Provenance, verdict: gate_report.GateReport) -> dict[str, str]:
    tags = {
        names.RUN_KEY: provenance.run_key,
        names.GATE: "passed" if verdict.passed else "failed",
        names.GATE_REASON: " ".join(verdict.reasons),
        names.GATE_WAIVED: " ".join(verdict.waivers),
        names.DATA_SHA256: provenance.data_sha256,
        names.BUNDLE_SHA256: file_sha256(run.bundle / "bundle" / bundles.MANIFEST),
        names.GIT_COMMIT: provenance.git_commit,
        names.CUTOFF: provenance.cutoff,
        names.SYNTHETIC: "true" if provenance.synthetic else None,
    }
    return {name: value for name, value in tags.items() if value}


def _description(usecase: UseCase, run: RunPaths, provenance: Provenance, verdict: gate_report.GateReport) -> str:
    report = GatedReport.read(run.gate)
    name, found = METRICS[usecase.task][report.metric].title, report.scores[report.metric]
    result = "Passed its gates." if verdict.passed else f"Refused by its gates: {' '.join(verdict.reasons)}"
    waived = f" {' '.join(verdict.waivers)}" if verdict.waivers else ""
    data = " Synthetic data." if provenance.synthetic else ""
    return f"{result}{waived} {name} {format_score(found)} on the holdout.{data} The run's card.md says more."
