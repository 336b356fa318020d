"""Summary of a table of labels: by the table itself, and by the predictions in this machine's log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from slipway.prediction_log import Log, describe
from slipway.settings import Settings, settings

MIN_LABELS = 30

Entry = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """Counts of labels; `named`, `early` and `unknown` are None without a prediction log on this machine.

    `repeated` labels are for what the same table has labelled before (`contradictory` of them with another label): the
    last one wins. `early` ones were known before any prediction with their key, `unknown` ones match none: both are
    kept. `left_out` says which files of the log could not be read.
    """

    labels: int
    repeated: int
    contradictory: int
    classes: dict[str, int]
    named: int | None = None
    early: int | None = None
    unknown: int | None = None
    left_out: str = ""

    @property
    def sentences(self) -> list[str]:
        """Messages for a person, one sentence each."""
        messages = []
        if self.repeated:
            other = f", {self.contradictory:,} of them with another label" if self.contradictory else ""
            messages.append(f"{self.repeated:,} repeat an earlier label of the file{other}: the last one wins.")
        if len(self.classes) == 1 and self.labels >= MIN_LABELS:
            messages.append(
                f"All of them are {next(iter(self.classes))!r}: labels of one class say little about a model."
            )
        if self.named is not None:
            messages.append(f"{self.named:,} match a prediction in the log.")
        if self.early:
            messages.append(f"{self.early:,} were known before a prediction with their key was made: they match none.")
        if self.unknown:
            messages.append(f"{self.unknown:,} match no prediction in the log: they are kept, in case it comes later.")
        return [*messages, self.left_out] if self.left_out else messages


def summarize(usecase: str, entries: list[Entry], *, log_is_here: bool, config: Settings | None = None) -> Summary:
    """Summarize checked entries. Raises ServiceError or OSError if the log is on this machine and cannot be read."""
    truths: dict[tuple[Any, ...], set[Any]] = {}
    for entry in entries:
        truths.setdefault(_identity(entry), set()).add(_truth(entry))
    counts = {
        "labels": len(entries),
        "repeated": len(entries) - len(truths),
        "contradictory": sum(len(several) - 1 for several in truths.values()),
        "classes": dict(Counter(str(entry["label"]) for entry in entries if "label" in entry)),
    }
    return Summary(**counts, **(_named(usecase, entries, config or settings()) if log_is_here else {}))


def _identity(entry: Entry) -> tuple[Any, ...]:
    """What an entry labels; a key may return for a later prediction, so `known_at` belongs to it."""
    return ("id", entry["id"]) if "id" in entry else ("key", entry["key"], entry.get("known_at"))


def _truth(entry: Entry) -> Any:
    return entry.get("label", entry.get("value"))


def _named(usecase: str, entries: list[Entry], config: Settings) -> dict[str, Any]:
    columns = '"slipway.row_id" AS id, "slipway.key" AS key, "@timestamp" AS answered_at'
    log = Log(config)
    answered = log.predictions(usecase).select(columns).df()
    if answered.empty:
        return {"left_out": describe(log.left_out)}
    first = answered.dropna(subset="key").groupby("key")["answered_at"].min()
    now = datetime.now(UTC)
    ids, named, early = set(answered["id"]), 0, 0
    for entry in entries:
        if "id" in entry:
            named += entry["id"] in ids
        elif entry["key"] in first.index:
            known = pd.Timestamp(entry["known_at"]) if "known_at" in entry else now
            named, early = (named + 1, early) if known > first[entry["key"]] else (named, early + 1)
    unknown = len(entries) - named - early
    return {"named": named, "early": early, "unknown": unknown, "left_out": describe(log.left_out)}
