"""Types of the prediction pipeline: a call, its parsed rows, and its outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from bentos.models import LoadedModel
from bentos.prediction.context import ServingContext
from bentos.request import RequestContext

CHAMPION, CANARY, SHADOW = "champion", "canary", "shadow"
Outcome = bytes | Exception  # the body of a response, or why there is none


class CanaryFailure(NamedTuple):
    """A canary that should have answered and did not; `began` is `perf_counter_ns()` when it was asked to."""

    live: LoadedModel
    error: Exception
    began: int


class PredictionCall(msgspec.Struct, frozen=True):
    """One request to one model, in one role.

    `started` is `perf_counter_ns()` at the first byte of the request; `champion` is the model that the client knows,
    where a candidate has its place; `canary_failure` is the canary's whose place is
    taken. `claim()` is called last, before anything is written: it returns False if the deadline has passed.
    `awaited()` is called in between: it returns False if nobody waits for the response any more.
    """

    context: ServingContext
    live: LoadedModel
    request: RequestContext
    body: bytes
    started: int
    role: str = CHAMPION
    champion: LoadedModel | None = None
    canary_failure: CanaryFailure | None = None
    claim: Callable[[], bool] | None = None
    awaited: Callable[[], bool] | None = None


class ParsedRows(msgspec.Struct, frozen=True):
    """The rows of a request, masked, each with its id; `keys` are the client's own.

    `values` are each row's, in the order of the schema's `names`. Where the schema is plain, `texts` are the rows' key
    texts, and `rows` is empty. Rows that are `in_range` have no warnings. Those of a test are published ones, and were
    sent as a test.
    """

    ids: list[bytes]
    values: list[tuple[Any, ...]]
    rows: list[dict[str, Any]]
    texts: list[bytes] | None
    keys: list[str] | None
    in_range: bool
    is_test: bool = False
