"""Integrity of a model in the registry: every byte of each version, and versions that are gone."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from monitoring.governance import registry_snapshot
from slipway.audit import AuditLine
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle import gate_report
from slipway.errors import BundleError, NotFound
from slipway.settings import Settings

DELETED, _DIGEST = "version.deleted", "bundle_sha256"


@dataclass(frozen=True)
class IntegrityReport:
    """Result of checking a version; `gates` are those of the bundle's `metrics.json`, None where it is not trusted."""

    gates: list[dict[str, Any]] | None = None
    problem: str | None = None


def check_versions(
    registry: Registry, config: Settings, usecase: str, versions: Sequence[ModelVersion], lines: Sequence[AuditLine]
) -> dict[str, IntegrityReport]:
    """Check the versions of the registry and those that it had once; the reports by version number.

    A deleted version whose number came again has a report of its own, by number and digest.

    Raises:
        RegistryError: the registry does not respond.
    """
    found = {version.version: check_bundle(registry, version) for version in versions}
    remembered = registry_snapshot.read(config, usecase)
    known = remembered.versions if remembered else {}
    for version in versions:
        before = known.get(version.version)
        if before and before.is_of(version.created_ms) and before.first != version.digest:
            altered = msgspec.structs.replace(before, digest=version.digest)
            found[version.version] = IntegrityReport(problem=registry_snapshot.tag_altered(version.version, altered))
    once = {line.version for line in lines if line.version and line.version.isdecimal()} | known.keys()
    gone = sorted(once - found.keys(), key=int)
    reports = {number: IntegrityReport(problem=describe_deleted(number, lines)) for number in gone}
    return found | reports | _replaced(versions, lines)


def _replaced(versions: Sequence[ModelVersion], lines: Sequence[AuditLine]) -> dict[str, IntegrityReport]:
    """Reports on deleted versions whose number another one has by now; not on one that is back, as after a renaming."""
    numbers, digests = {version.version for version in versions}, {version.digest for version in versions}
    found = {}
    for line in lines:
        digest = line.evidence.get(_DIGEST)
        if line.action == DELETED and line.version in numbers and digest and digest not in digests:
            problem = f"{describe_deleted(line.version, lines, digest)} Another version has its number now."
            found[f"{line.version} {digest}"] = IntegrityReport(problem=problem)
    return found


def describe_deleted(number: str, lines: Sequence[AuditLine], digest: str | None = None) -> str:
    """Describe a version that is no longer in the registry, as far as the audit knows it: the last one of that number,
    or the one with that bundle."""
    gone = f"version {number} is no longer in the registry"
    deleted = [line for line in lines if (line.action, line.version) == (DELETED, number)]
    same = [line for line in deleted if line.evidence.get(_DIGEST, digest) == digest]
    line = next(iter([*same, *(deleted[-1:] if digest is None else ())]), None)
    if line is None:
        return f"{gone}."
    data, commit, run = (line.evidence.get(fact) or "not known" for fact in ("data_sha256", "git_commit", "run_id"))
    return f"{gone}, which was noticed at {line.at}. Its data was {data}, its commit {commit}, its run {run}."


def check_bundle(registry: Registry, version: ModelVersion) -> IntegrityReport:
    """Download a version's bundle and verify every byte."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            registry.fetch_bundle(version, Path(folder), serving_only=False)
            return IntegrityReport(
                [msgspec.to_builtins(gate) for gate in gate_report.read_gate_report(Path(folder)).gates]
            )
        except (BundleError, NotFound) as error:
            return IntegrityReport(problem=f"version {version.version}: {str(error).replace(f' in {folder}', '')}")
