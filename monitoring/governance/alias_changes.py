"""What a line of the audit says about aliases: which went where."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from slipway.audit import AuditLine
from slipway.timestamps import parse

SLACK = timedelta(seconds=30)  # between a line and what it tells, and between the clocks of two machines


class AliasChange(NamedTuple):
    """`to` is None where the alias was removed."""

    alias: str
    to: str | None


def alias_changes(line: AuditLine) -> list[AliasChange]:
    """The aliases that went with the line, by its evidence: `{"alias", "from", "to"}`, or several in `moved`."""
    return [AliasChange(each["alias"], each["to"]) for each in _told(line.evidence)]


def describe(evidence: dict[str, Any]) -> str:
    """`champion from version 3 to 4, canary from version 4 to none`; nothing where no alias went anywhere."""
    return ", ".join(
        f"{each['alias']} from version {each.get('from') or 'none'} to {each['to'] or 'none'}"
        for each in _told(evidence)
    )


def _told(evidence: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in [evidence, *(evidence.get("moved") or ())] if "alias" in each and "to" in each]


def last_change(lines: Iterable[AuditLine], move: AliasChange, until: str) -> AuditLine | None:
    """The line of whoever last gave a version its alias by then; what was only noticed happened before its line."""
    latest = parse(until) + SLACK
    found = [line for line in lines if move in alias_changes(line) and parse(occurred_at(line)) <= latest]
    return found[-1] if found else None


def occurred_at(line: AuditLine) -> str:
    """When it happened, at the earliest: what was only noticed has the time of the look before in its evidence."""
    return line.evidence.get("after", line.at)
