"""Exceptions of the prediction service; `bentos.problem_details` gives each its HTTP form.

SlipwayError
├── InputError
│   └── MethodNotAllowed   405
├── ModelError             the network raised, or its output is not a number
│   ├── Late               its deadline passed
│   │   └── Abandoned      the same, before the model ran
│   └── Busy               the canary's queue is full
├── Refused                401, 403 or 429
└── Unavailable            503
    ├── LogUnavailable     the log cannot be written
    └── NotReady           a use case has no model yet
"""

from __future__ import annotations

from typing import Protocol

from slipway.errors import InputError, SlipwayError

Header = tuple[bytes, bytes]


class Model(Protocol):
    """The attributes of a loaded model that messages name."""

    usecase: str
    version: str
    deadline: float


class Unavailable(SlipwayError):
    """A valid request that the server cannot answer now (503)."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LogUnavailable(Unavailable):
    """A request whose events cannot be written to a log that is required."""

    def __init__(self) -> None:
        super().__init__("the log cannot be written, and nothing is answered here that is not in it.", 5)


class NotReady(Unavailable):
    """A use case that has no model yet. `why`, which names paths and servers, is for operators alone."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


class ModelError(SlipwayError):
    """A failure of the network: it raised, or returned NaN. The request is not to blame.

    `reason` is the label of the metric that counts requests whose canary failed so.
    """

    reason = "error"


class Late(ModelError):
    """A model that did not respond within the deadline, the champion's `serving.deadline_ms`."""

    reason = "late"

    def __init__(self, live: Model) -> None:
        super().__init__(f"{live.usecase} version {live.version} did not respond within {live.deadline * 1000:g} ms")


class Abandoned(Late):
    """A request that was given up before the model ran, because nobody waits any more: no event of it is logged."""


class Busy(ModelError):
    """A canary whose queue is full, so the request was not submitted."""

    reason = "busy"

    def __init__(self, live: Model) -> None:
        super().__init__(f"{live.usecase} version {live.version} has a full queue")


class Refused(SlipwayError):
    """A client without permission, or over its rate: 401, 403 or 429, with the headers that explain it."""

    def __init__(self, message: str, status: int, headers: list[Header]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class MethodNotAllowed(InputError):
    """A method that the route does not have (405)."""

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not allowed here, {allowed} is.", status=405)
        self.allowed = allowed
