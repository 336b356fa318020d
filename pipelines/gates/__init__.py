"""Gates: conditions that a new model must meet before it may be promoted.

A gate is a function from the candidate under evaluation to its verdicts
(`slipway.contracts.bundle.gate_report.Gate`). A new gate is added to `GATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines.gates.baselines import baselines
from pipelines.gates.behavior import directions, invariance
from pipelines.gates.candidate import Candidate
from pipelines.gates.comparison import absolute, champion, compatibility, window
from pipelines.gates.resources import latency, size
from pipelines.gates.robustness import robustness
from pipelines.gates.slices import slices
from slipway.contracts.bundle.gate_report import Gate

__all__ = ["GATES"]

GATES: Sequence[Callable[[Candidate], list[Gate]]] = (
    *(absolute, baselines, window, champion, compatibility, slices),
    *(robustness, invariance, directions, size, latency),
)
