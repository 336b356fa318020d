"""What a line of the audit says about aliases: which went where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from slipway.audit import Line
from slipway.registry import CANARY, CHAMPION

# What these do to the champion, or the canary, where the line does not say it.
_TO_CHAMPION = ("promoted", "overridden", "rolled_back", "canary.finished")
_FROM_CANARY = ("canary.finished", "canary.rolled_back", "canary.ended")


class Move(NamedTuple):
    """`to` is None where the alias was removed."""

    alias: str
    to: str | None


def moves(line: Line) -> list[Move]:
    """The aliases that went with the line.

    Its evidence says so, as `{"alias", "from", "to"}` or a list of these in `moved`; else its action and version do.
    """
    told = [line.evidence, *(line.evidence.get("moved") or ())]
    found = [Move(each["alias"], each["to"]) for each in told if "alias" in each and "to" in each]
    if found:
        return found
    if line.action in _TO_CHAMPION:
        found.append(Move(CHAMPION, line.version))
    if line.action in _FROM_CANARY:
        found.append(Move(CANARY, None))
    return found


def last_move(lines: Iterable[Line], move: Move, until: str) -> Line | None:
    """The line that last made an alias name a version, no later than `until` (ISO 8601, UTC)."""
    found: Sequence[Line] = [line for line in lines if line.at <= until and move in moves(line)]
    return found[-1] if found else None
