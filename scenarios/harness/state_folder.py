"""State folder of a scenario, which begins anew each time."""

from __future__ import annotations

import shutil
from pathlib import Path

from slipway.errors import ServiceError
from slipway.local import running_stack


def empty(var: Path, what: str) -> None:
    """Remove the state folder of an earlier run; `what` names the scenario, such as "a closed loop".

    Raises:
        ServiceError: that run has not ended.
    """
    if running_stack(var):
        raise ServiceError(f"{what} runs from {var} already: it ends by itself, or by Ctrl-C where it was started.")
    shutil.rmtree(var, ignore_errors=True)
