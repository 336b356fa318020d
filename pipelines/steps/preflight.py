"""What can be known to be wrong before any data is read: the secret, parameters, and what the gates go by."""

from __future__ import annotations

from pipelines.gates.behavior import require_testable
from pipelines.modeling.hyperparameters import resolve
from slipway.config import UseCase
from slipway.errors import SettingsError, UseCaseError, suggestion
from slipway.evaluation.metrics import METRICS
from slipway.evaluation.slices import require_separable
from slipway.settings import settings


def preflight(usecase: UseCase) -> None:
    """Raises UseCaseError, which names the key and what is allowed, or SettingsError."""
    _require_shared_secret()
    resolve(usecase)
    require_separable(usecase)
    require_testable(usecase)
    known = METRICS[usecase.task]
    for place, name in [*(("absolute", name) for name in usecase.gates.absolute), ("metric", usecase.gates.metric)]:
        if name is not None and name not in known:
            raise UseCaseError(
                f"{usecase.name}: gates.{place}: a {usecase.task} task has no metric {name!r}."
                f"{suggestion(name, known)} There are: {', '.join(known)}."
            )


def _require_shared_secret() -> None:
    """A container's own secret would end with it, and no server would mask as this training did."""
    if settings().container and settings().mask_key is None:
        raise SettingsError(
            "SLIPWAY_MASK_KEY is not set: training and serving share it, and in a container nobody else makes one. Put "
            "it under `mask-key` into the Secret `slipway` (any 16 characters or more that nobody can guess)."
        )
