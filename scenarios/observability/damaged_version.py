"""Registration of a version whose network is cut off, although its manifest is right."""

from __future__ import annotations

from pathlib import Path

from scenarios.closed_loop import tampered_version
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.bundle import manifest

_NETWORK = "serve/model.onnx"


def register(name: str, champion: str, scratch: Path) -> str:
    """Cut off the network of the champion's bundle, and register it; returns the version."""
    registry, folder = Registry(), scratch / "damaged"
    registry.fetch_bundle(registry.version(name, champion), folder, serving_only=False)
    network = folder / _NETWORK
    network.write_bytes(network.read_bytes()[: network.stat().st_size // 2])
    for file in (manifest.MANIFEST, manifest.SIGNATURE):
        (folder / file).unlink(missing_ok=True)
    manifest.write(folder, name, {})
    return tampered_version.register_bundle(registry, registry.version(name, champion), folder, "damaged", "passed")
