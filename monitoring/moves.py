"""What a line of the audit says about aliases: which went where."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from slipway.audit import Line

SLACK = timedelta(seconds=30)  # between a line and what it tells, and between the clocks of two machines


class Move(NamedTuple):
    """`to` is None where the alias was removed."""

    alias: str
    to: str | None


def moves(line: Line) -> list[Move]:
    """The aliases that went with the line, by its evidence: `{"alias", "from", "to"}`, or several in `moved`."""
    told = [line.evidence, *(line.evidence.get("moved") or ())]
    return [Move(each["alias"], each["to"]) for each in told if "alias" in each and "to" in each]


def last_move(lines: Iterable[Line], move: Move, until: str) -> Line | None:
    """The line of whoever last gave a version its alias by then; what was only noticed happened before its line."""
    latest = moment(until) + SLACK
    found = [line for line in lines if move in moves(line) and moment(line.evidence.get("after", line.at)) <= latest]
    return found[-1] if found else None


def moment(at: str) -> datetime:
    """A time in ISO 8601; without a zone it is UTC."""
    found = datetime.fromisoformat(at)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
