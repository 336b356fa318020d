"""Age of a use case's newest verdict, by the schedule of its monitor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from monitoring.status.usecase_files import declared
from slipway.timestamps import parse, readable

GRACE = timedelta(minutes=15)
"""What a monitor may take from its scheduled time to its verdict: a pod's start, a training beside it, a retry."""
AHEAD = timedelta(minutes=5)
"""How far another machine's clock may be ahead: a verdict of a later time is of a clock that was wrong, and none."""
STARTED = datetime.now(UTC)
"""Start of this process: a use case without any verdict, which may be new, is due from then on."""


def due(usecase: str, last: dict[str, Any] | None) -> datetime | None:
    """The scheduled time that the newest verdict must not be older than: the last one that is 15 minutes ago.

    None without a schedule (`schedule.monitor`), or where the use case's folder is not on this machine.
    """
    cron = _cron(usecase)
    expected = previous(cron, datetime.now(UTC) - GRACE) if cron else None
    return expected if expected and (last or expected >= STARTED) else None


def describe_overdue(usecase: str, last: dict[str, Any] | None) -> list[str]:
    """The warnings that the newest verdict is older than its schedule allows, or that its schedule cannot be read."""
    cron, expected = _cron(usecase), due(usecase, last)
    if cron and previous(cron, datetime.now(UTC)) is None:
        return [
            f"Whether a verdict is due is not known: `schedule.monitor` is {cron!r}. Write five fields, as 0 * * * *."
        ]
    if expected is None or (last and expected <= parse(last["created"]) <= datetime.now(UTC) + AHEAD):
        return []
    newest = f"The newest verdict is of {readable(parse(last['created']))}" if last else "There is no verdict"
    return [
        f"{newest}, and one was due at {readable(expected)} (`schedule.monitor`). See the flow `monitor/{usecase}`."
    ]


def _cron(usecase: str) -> str | None:
    found = declared(usecase)
    return found.schedule.monitor if found else None


def previous(cron: str, moment: datetime) -> datetime | None:
    """The last time before the moment, by a cron line; None if it cannot be read."""
    from cronsim import CronSim, CronSimError

    try:
        return next(CronSim(cron, moment, reverse=True), None)
    except CronSimError:
        return None
