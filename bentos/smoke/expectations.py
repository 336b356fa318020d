"""Expectations of a smoke test: use cases, version, bundle and latency that the deployment should have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from slipway.contracts.bundle import manifest
from slipway.errors import BundleError
from slipway.system import files


class _Probe(msgspec.Struct):
    rows: list[dict[str, Any]]
    outputs: list[list[float]]


@dataclass(frozen=True)
class Reference:
    """A bundle's digest and probe: rows as a client sends them, each with the network's outputs."""

    usecase: str
    digest: str
    rows: list[dict[str, Any]]
    outputs: list[list[float]]


@dataclass(frozen=True)
class Expected:
    """What to expect. No `usecases` means all that are served; `timeout` is the seconds until it must be ready."""

    usecases: tuple[str, ...] = ()
    version: str | None = None
    reference: Reference | None = None
    max_median_ms: float | None = None
    allow_open: bool = False
    timeout: float = 30.0

    def reference_of(self, usecase: str) -> Reference | None:
        return self.reference if self.reference and self.reference.usecase == usecase else None


def read_reference(directory: Path) -> Reference:
    """Read a bundle's digest and probe. Raises BundleError where the bundle is incomplete, or its probe invalid."""
    content = manifest.verify(directory, serving_only=True)
    path = directory / "serve" / "probe.json"
    try:
        probe = msgspec.json.decode(path.read_bytes(), type=_Probe)
    except msgspec.DecodeError as error:
        raise BundleError(f"{path} is not a probe: {error}") from None
    if not probe.rows or len(probe.rows) != len(probe.outputs):
        raise BundleError(f"{path} has {len(probe.rows)} rows and {len(probe.outputs)} outputs: train the model again.")
    return Reference(content.usecase, files.file_sha256(directory / manifest.MANIFEST), probe.rows, probe.outputs)
