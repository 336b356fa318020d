"""Record of what an environment runs: the ConfigMap `delivery`, written when a deployment has passed its smoke test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra.delivery.deployment import manifests
from infra.delivery.deployment.cluster import Cluster
from slipway.timestamps import iso

NAME = "delivery"
_NO_IMAGE = "0" * 64  # the digest of an overlay before its first deployment


def images_before(cluster: Cluster) -> dict[str, str]:
    """Return the images of the last deployment that passed its smoke test; without a record, those that run now."""
    found = cluster.run("get", "configmap", NAME, "--ignore-not-found", "--output", "json")
    if found.strip():
        return json.loads(json.loads(found)["data"]["images"])
    running = manifests.images(cluster.get("deployments")["items"])
    return {name: reference for name, reference in running.items() if not reference.endswith(_NO_IMAGE)}


def manifest(images: Mapping[str, str], commit: str, holder: str, now: datetime) -> dict[str, Any]:
    """Return the ConfigMap."""
    data = {
        "images": json.dumps(dict(images), indent=1, sort_keys=True),
        "commit": commit,
        "deployed_at": iso(now, "seconds"),
        "deployed_by": holder,
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": data}


def write(cluster: Cluster, images: Mapping[str, str], commit: str, holder: str) -> None:
    """Record a deployment that passed."""
    cluster.apply(manifest(images, commit, holder, datetime.now(UTC)))
