"""A finished bundle to one version of the registered model; a version that a gate refuses is registered as refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from pipelines.artifacts import RunPaths, read_json, sha256, write_json
from pipelines.packaging import mlflow_run
from slipway import audit
from slipway.clients.mlflow.registry import CHALLENGER, ModelVersion, Registry
from slipway.config import UseCase
from slipway.contracts.bundle import gate_report
from slipway.contracts.bundle import manifest as bundles
from slipway.errors import NotFound
from slipway.evaluation.metrics import METRICS

HOLDOUT = "slipway.holdout_sha256"
_WAIVED = "gate.waived"


def register(usecase: UseCase, run: RunPaths, facts: dict[str, Any], out: Path) -> None:
    """Leave `result.json` in `out`: the version of this run, made now or by a call that was killed after it made it.

    Raises:
        RegistryError: the registry does not answer; the run is kept, and the same command goes on from here.
        ServiceError, OSError: the log's place takes no line of the audit; likewise.
    """
    registry = Registry()
    before = find_version(registry, usecase.name, facts["run_key"])
    verdict = gate_report.read_gate_report(run.bundle / "bundle")
    version = before or publish(registry, usecase, run, facts, verdict)
    if HOLDOUT not in registry.model(usecase.name).tags:
        registry.set_model_tag(usecase.name, HOLDOUT, facts["holdout_sha256"])
    record_waivers(version, verdict)
    if verdict.passed:
        set_challenger(registry, version)
    write_json(
        out / "result.json",
        {
            "name": usecase.name,
            "version": version.version,
            "run_id": version.run_id,
            "gate": "passed" if verdict.passed else "refused",
            "reasons": verdict.reasons,
            "digest": version.digest,
            "already": before is not None,
        },
    )


def find_version(registry: Registry, name: str, run_key: str) -> ModelVersion | None:
    """The version that this run has made, if it has."""
    try:
        found = registry.versions(name)
    except NotFound:
        return None
    return next((version for version in found if version.tags.get(mlflow_run.RUN_KEY) == run_key), None)


def publish(
    registry: Registry, usecase: UseCase, run: RunPaths, facts: dict[str, Any], verdict: gate_report.GateReport
) -> ModelVersion:
    """Log the run, then make the version with all its tags in one request: there is none without them."""
    with mlflow_run.client(registry.uri) as mlflow:
        logged = mlflow_run.log_run(mlflow, usecase, run, facts)
        _require_model(mlflow, registry, usecase, facts)
        made = mlflow.create_model_version(
            usecase.name,
            f"{logged.info.artifact_uri}/bundle",
            logged.info.run_id,
            tags=_tags(run, facts, verdict),
            description=_description(usecase, run, facts, verdict),
            await_creation_for=0,
        )
    return registry.version(usecase.name, str(made.version))


def record_waivers(version: ModelVersion, verdict: gate_report.GateReport) -> None:
    """A line of the audit for each gate that was waived; a call that was killed may have written some."""
    waived = [gate for gate in verdict.gates if gate.verdict == "waived"]
    lines = audit.lines(version.name) if waived else []
    written = {line.evidence["name"] for line in lines if (line.action, line.version) == (_WAIVED, version.version)}
    for gate in waived:
        if gate.name not in written:
            told = {"who": "slipway train", "why": gate.sentence, "evidence": msgspec.to_builtins(gate)}
            audit.append(version.name, _WAIVED, version=version.version, **told)


def set_challenger(registry: Registry, version: ModelVersion) -> None:
    """Name it the challenger, unless a newer version is: a run that is resumed late displaces nobody."""
    now = registry.model(version.name).aliases.get(CHALLENGER)
    if now is None or int(now) < int(version.version):
        registry.set_alias(version.name, CHALLENGER, version.version)


def _require_model(mlflow: Any, registry: Registry, usecase: UseCase, facts: dict[str, Any]) -> None:
    try:
        registry.model(usecase.name)
    except NotFound:
        tags = {HOLDOUT: facts["holdout_sha256"]}
        mlflow.create_registered_model(usecase.name, tags, usecase.description)


def _tags(run: RunPaths, facts: dict[str, Any], verdict: gate_report.GateReport) -> dict[str, str]:
    found = {
        mlflow_run.RUN_KEY: facts["run_key"],
        "slipway.gate": "passed" if verdict.passed else "failed",
        "slipway.gate_reason": " ".join(verdict.reasons),
        "slipway.gate_waived": " ".join(verdict.waivers),
        "slipway.data_sha256": facts["data_sha256"],
        "slipway.bundle_sha256": sha256(run.bundle / "bundle" / bundles.MANIFEST),
        "slipway.git_commit": facts.get("git_commit"),
        "slipway.cutoff": facts.get("cutoff"),
        "slipway.synthetic": "true" if facts.get("synthetic") else None,
    }
    return {name: value for name, value in found.items() if value}


def _description(usecase: UseCase, run: RunPaths, facts: dict[str, Any], verdict: gate_report.GateReport) -> str:
    metrics = read_json(run.gate / "metrics.json")
    name, found = METRICS[usecase.task][metrics["metric"]].title, metrics["scores"][metrics["metric"]]
    score = f"{name} {found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})" if found["value"] else name
    told = "Passed its gates." if verdict.passed else f"Refused by its gates: {' '.join(verdict.reasons)}"
    waived = f" {' '.join(verdict.waivers)}" if verdict.waivers else ""
    data = " Synthetic data." if facts.get("synthetic") else ""
    return f"{told}{waived} {score} on the holdout.{data} The run's card.md says more."
