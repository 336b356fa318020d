"""Alias changes in audit lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from slipway.audit import UNKNOWN, AuditLine
from slipway.timestamps import parse

AMBIGUOUS = "not known: several moved it within seconds"
SUPERSEDED = "not known: by the audit, the alias was on another version then"
NOTICED = "after"  # key in the evidence of a change that was only noticed: the time of the poll before
SLACK = timedelta(seconds=30)  # between a change and its line, and between the clocks of two machines


class AliasChange(NamedTuple):
    """An alias and the version it moved to; `to` is None where the alias was removed."""

    alias: str
    to: str | None


def alias_changes(line: AuditLine) -> list[AliasChange]:
    """Alias changes in a line's evidence: `{"alias", "from", "to"}`, or several of these in `moved`."""
    return [AliasChange(each["alias"], each["to"]) for each in _changes(line.evidence)]


def describe(evidence: dict[str, Any]) -> str:
    """Describe the changes of aliases, `champion from version 3 to 4, canary from version 4 to none`, or of a tag."""
    if {"tag", "to"} <= evidence.keys():
        return f"{evidence['tag']} from {evidence.get('from') or 'none'} to {evidence['to'] or 'none'}"
    return ", ".join(
        f"{each['alias']} from version {each.get('from') or 'none'} to {each['to'] or 'none'}"
        for each in _changes(evidence)
    )


def _changes(evidence: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in [evidence, *(evidence.get("moved") or ())] if "alias" in each and "to" in each]


def last_change(lines: Iterable[AuditLine], change: AliasChange, until: str) -> AuditLine | None:
    """Find the line of the last such change until a time; a change that was only noticed occurred before its line."""
    latest = parse(until) + SLACK
    found = [line for line in lines if change in alias_changes(line) and parse(occurred_at(line)) <= latest]
    return found[-1] if found else None


def proven_actor(lines: Sequence[AuditLine], change: AliasChange, at: str) -> str:
    """Name who made the change that was in force at a time, as MLflow's login proved it; else say that it is not known.

    Whoever writes a line may name anybody in it. Only the app around MLflow's server writes `login`, with each move;
    one that could be in force counts, for clocks of two machines differ. A prediction by a version that the alias had
    left proves a move that nobody recorded, unless it is of a server that lags behind.
    """
    made = [line for line in lines if change in alias_changes(line)]
    before = [line for line in made if parse(occurred_at(line)) <= parse(at)][-1:]
    around = [line for line in made if abs(parse(occurred_at(line)) - parse(at)) <= SLACK]
    if before and _has_left(lines, change, at):
        if not around:
            return SUPERSEDED
        before = []
    actors = {_proof(line, made) for line in (*before, *around)}
    return actors.pop() if len(actors) == 1 else AMBIGUOUS if actors else UNKNOWN


def _has_left(lines: Sequence[AuditLine], change: AliasChange, at: str) -> bool:
    """Whether the alias had moved elsewhere by a time, for longer than a server needs to follow it."""
    until = parse(at) - SLACK
    moves = [move for line in lines if parse(line.at) <= until for move in alias_changes(line)]
    targets = [move.to for move in moves if move.alias == change.alias]
    return bool(targets) and targets[-1] != change.to


def _proof(line: AuditLine, made: Sequence[AuditLine]) -> str:
    """The actor of the move that the line is about: its own, or the one that the app wrote beside a command's line.

    A move that was only noticed has no other line, so whoever made one like it within seconds did not make this one.
    """
    if NOTICED in line.evidence:
        return UNKNOWN
    beside = [other for other in made if "login" in other.evidence and abs(parse(other.at) - parse(line.at)) <= SLACK]
    actors = {other.who if other.evidence["login"] else UNKNOWN for other in ([line] if line in beside else beside)}
    return actors.pop() if len(actors) == 1 else AMBIGUOUS if actors else UNKNOWN


def occurred_at(line: AuditLine) -> str:
    """Earliest time of what the line records: a noticed change has the time of the previous poll in its evidence."""
    return line.evidence.get(NOTICED, line.at)
