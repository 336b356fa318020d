"""The gates that a new model passes before it may be promoted, each one `slipway.bundle.Gate`.

A gate is a function of what is being judged to its verdicts; a new kind of gate joins by its name in `GATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pipelines.files import read_json, write_json
from pipelines.gates.comparison import absolute, beside_champion, slices, succession, window
from pipelines.gates.declared import directions, invariance
from pipelines.gates.judged import Judged
from pipelines.gates.robustness import robust
from pipelines.gates.server import latency, size
from slipway.bundle import Gate
from slipway.usecase import UseCase

__all__ = ["GATES", "gate"]

GATES: Sequence[Callable[[Judged], list[Gate]]] = (
    *(absolute, window, beside_champion, succession, slices),
    *(robust, invariance, directions, size, latency),
)


def gate(
    usecase: UseCase,
    split: Path,
    exported: Path,
    evaluated: Path,
    out: Path,
    champion: Path | None = None,
    window: Path | None = None,
) -> None:
    """Leave `metrics.json` in `out`: the evaluation's with `gates` and `passed`. A gate that fails fails no run.

    `window` holds the newest labelled rows of production, which nobody trained on.

    Raises:
        ServiceError: a server, whose answers are timed, did not start or refused a row.
    """
    metrics = read_json(evaluated / "metrics.json")
    judged = Judged(usecase, metrics, split, exported, evaluated, champion, window)
    verdicts = [verdict for one in GATES for verdict in one(judged)]
    passed = not any(verdict.failed for verdict in verdicts)
    write_json(out / "metrics.json", {**metrics, "gates": msgspec.to_builtins(verdicts), "passed": passed})
