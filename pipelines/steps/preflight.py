"""Check the secret, hyperparameters, gates and label filters before any data is read."""

from __future__ import annotations

from pipelines.gates.behavior import require_testable
from pipelines.labels.filters import require_known_filters
from pipelines.modeling.hyperparameters import resolve
from slipway.config import UseCase
from slipway.errors import SettingsError, UseCaseError, suggestion
from slipway.evaluation.metrics import METRICS
from slipway.evaluation.slices import require_separable
from slipway.settings import settings


def preflight(usecase: UseCase) -> None:
    """Check everything that needs no data.

    Raises:
        UseCaseError: a value of the use case is not allowed; the message names its key and the allowed values.
        SettingsError: a container has no shared secret.
    """
    _require_shared_secret()
    resolve(usecase)
    require_separable(usecase)
    require_testable(usecase)
    require_known_filters(usecase)
    known = METRICS[usecase.task]
    for place, name in [*(("absolute", name) for name in usecase.gates.absolute), ("metric", usecase.gates.metric)]:
        if name is not None and name not in known:
            raise UseCaseError(
                f"{usecase.name}: gates.{place}: a {usecase.task} task has no metric {name!r}."
                f"{suggestion(name, known)} There are: {', '.join(known)}."
            )


def _require_shared_secret() -> None:
    """Require the secret in a container: one of its own would be lost with it, and servers would mask differently."""
    if settings().container and settings().mask_key is None:
        raise SettingsError(
            "SLIPWAY_MASK_KEY is not set: training and serving share it, and it is not created in a container. Put "
            "it under `mask-key` into the Secret `slipway` (any 16 characters or more that nobody can guess)."
        )
