"""A call: one request to one model, in one role, and the rows that it asks about."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bentos.request import RequestContext

if TYPE_CHECKING:
    from bentos.models import LoadedModel
    from bentos.worker import ServedModel

CHAMPION, CANARY, SHADOW = "champion", "canary", "shadow"


class CanaryFailure(NamedTuple):
    """A canary that was to answer and did not; `began` is `perf_counter_ns()` when it was asked."""

    live: LoadedModel
    error: Exception
    began: int


class PredictionCall(msgspec.Struct, frozen=True):
    """`started` is `perf_counter_ns()` at the request's first byte; `fallen` is the canary whose place is taken.

    `take_turn()` is asked last, before anything is written: where it says no, time is up, and another answers.
    """

    served: ServedModel
    live: LoadedModel
    head: RequestContext
    body: bytes
    started: int
    role: str = CHAMPION
    fallen: CanaryFailure | None = None
    take_turn: Callable[[], bool] | None = None


class ParsedRows(msgspec.Struct, frozen=True):
    """The rows of a request, masked, each with its id; `keys` are the caller's own.

    `values` are each row's, in the order of the schema's `names`.

    Where the schema is plain, `texts` are the rows' key texts, and `rows` is empty. `usual` rows have no warnings.
    """

    ids: list[bytes]
    values: list[tuple[Any, ...]]
    rows: list[dict[str, Any]]
    texts: list[bytes] | None
    keys: list[str] | None
    usual: bool
