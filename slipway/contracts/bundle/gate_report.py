"""The gate report of a bundle: each gate's verdict, read from the `metrics.json` that the digest covers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from slipway.contracts.bundle.manifest import METRICS
from slipway.errors import BundleError, GateRefused


class Gate(msgspec.Struct, frozen=True):
    """A gate: one condition on a new model; `verdict` is `passed`, `failed` or `waived`, the sentence is for people."""

    name: str
    figure: float | None
    threshold: float | None
    verdict: str
    sentence: str

    @property
    def failed(self) -> bool:
        return self.verdict == "failed"


class GateReport(msgspec.Struct, frozen=True):
    passed: bool
    gates: tuple[Gate, ...] = ()

    @property
    def reasons(self) -> list[str]:
        return [gate.sentence for gate in self.gates if gate.failed]

    @property
    def waivers(self) -> list[str]:
        return [gate.sentence for gate in self.gates if gate.verdict == "waived"]


def read_gate_report(directory: Path) -> GateReport:
    """Read the gates' verdict from `metrics.json`, which the digest covers.

    Raises:
        BundleError: the file holds no verdict, or says passed of a gate that failed.
    """
    try:
        found = msgspec.json.decode((directory / METRICS).read_bytes(), type=GateReport)
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"{directory / METRICS} holds no gate verdict: {error}") from None
    if found.passed and found.reasons:
        raise BundleError(f"{directory / METRICS} says passed of a gate that failed: {found.reasons[0]}")
    return found


def require_passed(directory: Path, override: str | None = None) -> GateReport:
    """Read the verdict; raises GateRefused if a gate failed and no `override` (`WHO: WHY`) is given."""
    found = read_gate_report(directory)
    if not found.passed and not override:
        raise GateRefused(
            f"its gates failed: {' '.join(found.reasons) or 'no reason is recorded.'} "
            "A person overrides that by the version's tag slipway.override = `WHO: WHY`."
        )
    return found
