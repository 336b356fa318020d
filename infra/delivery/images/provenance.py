"""Provenance of an image: who built it from what, as a predicate of SLSA (https://slsa.dev/spec/v1.0/provenance)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.delivery.images.plan import PlannedImage

REVISION = "org.opencontainers.image.revision"
SOURCE = "org.opencontainers.image.source"
BASE = "org.opencontainers.image.base.name"
BUNDLE = "slipway.bundle_sha256"
BUILD_TYPE = "urn:slipway:delivery:build:1"


def provenance(image: PlannedImage, labels: Mapping[str, str], builder: str, run: str | None) -> dict[str, Any]:
    """Describe the build of an image, by the labels that it got.

    `builder` is who builds, and `run` the address of the workflow run that built this image; None on a laptop, and for
    an image that an earlier run had pushed.
    """
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"image": image.name, "version": image.version, "source": labels.get(SOURCE, "")},
            "resolvedDependencies": list(_dependencies(labels)),
        },
        "runDetails": {"builder": {"id": builder}, "metadata": {"invocationId": run} if run else {}},
    }


def commit_of(predicate: Mapping[str, Any]) -> str | None:
    """Return the commit that an image was built from, by its provenance."""
    for dependency in predicate["buildDefinition"]["resolvedDependencies"]:
        if found := dependency.get("digest", {}).get("gitCommit"):
            return found
    return None


def _dependencies(labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """List what the image was made of: the commit, its base image and its bundle."""
    found: list[dict[str, Any]] = [
        {"uri": f"git+{labels.get(SOURCE, 'file:.')}", "digest": {"gitCommit": labels[REVISION]}}
    ]
    if base := labels.get(BASE):
        name, _, digest = base.partition("@sha256:")
        found.append({"uri": f"docker://{name}", **({"digest": {"sha256": digest}} if digest else {})})
    if bundle := labels.get(BUNDLE):
        found.append({"name": "bundle", "digest": {"sha256": bundle}})
    return found
