"""What can be known to be wrong before any data is read: parameters, and the metrics and slices of the gates."""

from __future__ import annotations

from pipelines.metrics import METRICS
from pipelines.params import resolve
from pipelines.slices import require_separable
from slipway.errors import UseCaseError, suggestion
from slipway.usecase import UseCase


def check(usecase: UseCase) -> None:
    """Raises UseCaseError, which names the key and what is allowed."""
    resolve(usecase)
    require_separable(usecase)
    known = METRICS[usecase.task]
    for place, name in [*(("absolute", name) for name in usecase.gates.absolute), ("metric", usecase.gates.metric)]:
        if name is not None and name not in known:
            raise UseCaseError(
                f"{usecase.name}: gates.{place}: a {usecase.task} task has no metric {name!r}."
                f"{suggestion(name, known)} There are: {', '.join(known)}."
            )
