"""Expected: what the caller of a smoke test knows of the deployment, above all the bundle that it should serve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from slipway.contracts.bundle import manifest as bundle
from slipway.errors import BundleError
from slipway.system import files


class _Probe(msgspec.Struct):
    rows: list[dict[str, Any]]
    outputs: list[list[float]]


@dataclass(frozen=True)
class Reference:
    """A bundle's digest, and its probe: rows as a caller may send them, each with the network's outputs."""

    usecase: str
    digest: str
    rows: list[dict[str, Any]]
    outputs: list[list[float]]


@dataclass(frozen=True)
class Expected:
    """No use cases are all that are served; `timeout` (seconds) is how long the deployment may take to be ready."""

    usecases: tuple[str, ...] = ()
    version: str | None = None
    reference: Reference | None = None
    max_median_ms: float | None = None
    allow_open: bool = False
    timeout: float = 30.0

    def reference_of(self, usecase: str) -> Reference | None:
        return self.reference if self.reference and self.reference.usecase == usecase else None


def read_reference(directory: Path) -> Reference:
    """Raises BundleError where the directory holds no whole bundle, or its probe is none."""
    manifest = bundle.verify(directory, serving_only=True)
    path = directory / "serve" / "probe.json"
    try:
        probe = msgspec.json.decode(path.read_bytes(), type=_Probe)
    except msgspec.DecodeError as error:
        raise BundleError(f"{path} is not a probe: {error}") from None
    if not probe.rows or len(probe.rows) != len(probe.outputs):
        raise BundleError(f"{path} has {len(probe.rows)} rows and {len(probe.outputs)} outputs: train the model again.")
    return Reference(manifest.usecase, files.file_sha256(directory / bundle.MANIFEST), probe.rows, probe.outputs)
