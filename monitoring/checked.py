"""Whether what the registry holds is what was registered: every byte of each version, and versions that are gone."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from monitoring import seen
from slipway import bundle
from slipway.audit import Line
from slipway.errors import BundleError, NotFound
from slipway.registry import ModelVersion, Registry
from slipway.settings import Settings


@dataclass(frozen=True)
class Checked:
    """`gates` are those of the bundle's `metrics.json`; None where the bundle cannot be believed."""

    gates: list[dict[str, Any]] | None = None
    problem: str | None = None


def check(
    registry: Registry, config: Settings, usecase: str, versions: Sequence[ModelVersion], lines: Sequence[Line]
) -> dict[str, Checked]:
    """By number, the registry's versions and those that it had once.

    Raises:
        RegistryError: it does not answer.
    """
    found = {version.version: whole(registry, version) for version in versions}
    digests = first_digests(config, usecase)
    for version in versions:
        first = digests.get(version.version)
        if first and first != version.digest:
            found[version.version] = Checked(problem=altered(version, first))
    once = {line.version for line in lines if line.version and line.version.isdecimal()} | digests.keys()
    gone = sorted(once - found.keys(), key=int)
    return found | {number: Checked(problem=f"version {number} is in the registry no more.") for number in gone}


def first_digests(config: Settings, usecase: str) -> dict[str, str]:
    """Which digest each version had when `slipway watch` first saw it; nothing where none ever watched."""
    remembered = seen.read(config, usecase)
    return {number: one.first for number, one in remembered.versions.items() if one.first} if remembered else {}


def altered(version: ModelVersion, digest: str) -> str:
    return (
        f"version {version.version} was altered: its tag slipway.bundle_sha256 said {digest[:12]} when it was first "
        f"seen, and says {(version.digest or 'nothing')[:12]} now."
    )


def whole(registry: Registry, version: ModelVersion) -> Checked:
    with tempfile.TemporaryDirectory() as folder:
        try:
            registry.fetch_bundle(version, Path(folder), serving_only=False)
            return Checked([msgspec.to_builtins(gate) for gate in bundle.verdict(Path(folder)).gates])
        except (BundleError, NotFound) as error:
            return Checked(problem=f"version {version.version}: {str(error).replace(f' in {folder}', '')}")
