"""Results of searches, the same whichever source they are from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitoring.governance.trace import Trace

Event = dict[str, Any]
"""An event of a prediction, by the short names in `monitoring.search.event_fields`."""
Window = tuple[datetime, datetime]
"""A range of time: its begin is included, its end is not."""


@dataclass(frozen=True)
class Prediction:
    """Everything that is known of one row that was predicted.

    `events` are those of every role, the one that the caller got first; `label` is the ground truth, if known; `trace`
    has the version's data, gates and promotion, None where the registry does not respond; `log_lines` are the service's
    and the pipelines' with its `trace.id`.
    """

    usecase: str
    id: str
    events: list[Event]
    label: dict[str, Any] | None = None
    trace: Trace | None = None
    log_lines: list[Event] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        names = "usecase", "id", "events", "label", "log_lines", "problems"
        known = {name: getattr(self, name) for name in names}
        return {**known, "trace": self.trace.to_dict() if self.trace else None}


@dataclass(frozen=True)
class FoundPredictions:
    """Predictions that have the text as their id, `trace.id`, request id or key, the newest first.

    With one of them, everything is known of it; with several, their events only. `has_more`: there are more than these.
    """

    text: str
    predictions: list[Prediction]
    has_more: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "predictions": [each.to_dict() for each in self.predictions],
            "has_more": self.has_more,
        }


@dataclass(frozen=True)
class Totals:
    """Rows that callers asked for in a range of time: number, failures, and means of successes."""

    rows: int
    failed: int
    latency_ms: float | None
    model_ms: float | None
    score: float | None


@dataclass(frozen=True)
class Group:
    """Rows that have one value of a field, and how many of them failed, by `error.type`."""

    value: str
    rows: int
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Shift:
    """A value whose share of the rows changed by more than chance explains; shares are from 0 to 1.

    `z` is the difference of the shares in its standard errors.
    """

    field: str
    value: str
    before: float
    after: float
    z: float


@dataclass(frozen=True)
class ChangeComparison:
    """What changed at a time: rows before and after it, values that shifted, and what was done to the models."""

    usecase: str
    at: str
    minutes: int
    before: Totals
    after: Totals
    shifts: list[Shift]
    actions: list[dict[str, Any]]
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class CallerErrors:
    """Callers whose rows failed, the most failures first; `unknown` are rows without a credential.

    `refused` are requests that made no event, by caller and HTTP status; None where no log lines are searched.
    """

    usecase: str
    since: str
    rows: int
    failed: int
    callers: list[Group]
    unknown: Group
    refused: list[Group] | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SliceError:
    """Error of the labelled rows of a slice: the share of wrong labels, or the mean absolute error of values.

    `z` is how far it is above that of all rows, in standard errors.
    """

    feature: str
    value: str
    rows: int
    error: float
    z: float


@dataclass(frozen=True)
class WorstSlices:
    """Slices with the largest errors, the surest first; `error` is that of all labelled rows, None without any."""

    usecase: str
    since: str
    labelled: int
    measure: str
    error: float | None
    slices: list[SliceError]
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Result = FoundPredictions | ChangeComparison | CallerErrors | WorstSlices
