"""The errors of the prediction service; `bentos.problem_details` gives each its HTTP form.

SlipwayError
├── InputError
│   └── MethodNotAllowed   405
├── ModelError             the network raised, or its output is not a number
│   ├── Late               its deadline passed
│   └── Busy               the canary's queue is full
├── Refused                401, 403 or 429
└── Unavailable            503
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.errors import InputError, SlipwayError

if TYPE_CHECKING:
    from bentos.models import LoadedModel

Header = tuple[bytes, bytes]


class Unavailable(SlipwayError):
    """Nothing wrong with the request: the server cannot answer it now (503)."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelError(SlipwayError):
    """The network raised, or answered NaN: our fault, not the caller's."""


class Late(ModelError):
    """The model's deadline, the champion's `serving.deadline_ms`, passed before its answer was ready."""

    def __init__(self, live: LoadedModel) -> None:
        super().__init__(f"{live.usecase} version {live.version} did not answer within {live.deadline * 1000:g} ms")


class Busy(ModelError):
    """The canary's thread has more to do than it gets done, so the model was not asked."""

    def __init__(self, live: LoadedModel) -> None:
        super().__init__(f"{live.usecase} version {live.version} has a full queue")


class Refused(SlipwayError):
    """Who asks may not, or not now: 401, 403 or 429, with the headers that say more."""

    def __init__(self, message: str, status: int, headers: list[Header]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class MethodNotAllowed(InputError):
    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not allowed here, {allowed} is.", status=405)
        self.allowed = allowed
