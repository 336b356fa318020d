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
    path = directory / METRICS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} holds no gate verdict: {error}") from None
    return parse_gate_report(content, path)


def parse_gate_report(content: bytes, path: Path) -> GateReport:
    """Parse the bytes of `metrics.json`; the path is for messages. Raises BundleError as `read_gate_report` does."""
    try:
        found = msgspec.json.decode(content, type=GateReport)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} holds no gate verdict: {error}") from None
    if found.passed and found.reasons:
        raise BundleError(f"{path} says passed of a gate that failed: {found.reasons[0]}")
    return found


def require_passed(found: GateReport, override: str | None = None) -> GateReport:
    """Return the verdict; raises GateRefused if a gate failed and no `override` (`WHO: WHY`) is given."""
    if not found.passed and not override:
        raise GateRefused(
            f"its gates failed: {' '.join(found.reasons) or 'no reason is recorded.'} "
            "A person overrides that by the version's tag slipway.override = `WHO: WHY`."
        )
    return found
