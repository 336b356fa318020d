"""Admission of a version, by the servers and at once in the registry: what its tags and its bundle must say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from slipway.contracts.bundle import gate_report, manifest, signing
from slipway.contracts.registry_names import BUNDLE_SHA256, OVERRIDE, REFUSED
from slipway.errors import BundleError
from slipway.serving_state.desired import StoredVersion
from slipway.texts import one_line

_WHO_WHY = re.compile(r"[^:]*\S[^:]*:\s*\S.*", re.DOTALL)
_MAX_OVERRIDE = 1000  # characters of a tag that anybody may have written


def require_admissible(name: str, version: str, run_id: str, tags: Mapping[str, str]) -> StoredVersion:
    """Check the version's tags, and return what a store keeps of it. Raises BundleError: it must not be served."""
    if refused := tags.get(REFUSED):
        raise BundleError(f"it has the tag {REFUSED}: {refused} Remove the tag to have the version tried again.")
    digest = tags.get(BUNDLE_SHA256)
    if digest is None or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BundleError(
            f"its tag {BUNDLE_SHA256} is {digest!r}, a sha256 is needed: it was not registered "
            "by Slipway, or the tag was changed. Train and register it again."
        )
    override = one_line(tags.get(OVERRIDE, ""), _MAX_OVERRIDE) or None
    return StoredVersion(name, version, digest, run_id, override)


def require_servable(directory: Path, stored: StoredVersion) -> None:
    """Raise BundleError where a complete bundle must not be served: unsigned, another use case's, or a failed gate.

    A signature is required where keys are trusted (SLIPWAY_TRUSTED_KEYS). A failed gate passes where the version's tag
    names who overrides it, and why.
    """
    content = manifest.read_manifest(directory, stored.digest)
    signing.require(directory)
    if content.usecase != stored.name:
        raise BundleError(f"the bundle is of the use case {content.usecase!r}, and registered as {stored.name!r}.")
    if stored.override and not _WHO_WHY.fullmatch(stored.override):
        raise BundleError(f"its tag {OVERRIDE} is {stored.override!r}; its form is `WHO: WHY`.")
    gate_report.require_passed(gate_report.read_gate_report(directory), stored.override)
