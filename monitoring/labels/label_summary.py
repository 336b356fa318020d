"""What a table of labels comes to: by the table itself, and by the predictions that this machine's log has."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from slipway.prediction_log import Log
from slipway.settings import Settings, settings

MIN_LABELS = 30

Entry = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """Labels by how they fare; `named`, `early` and `unknown` are None where no log of predictions is at hand.

    `repeated` are labels for what the same table has labelled already (`contradictory` of them with another label): the
    last holds. `early` ones were known before any prediction with their key, `unknown` ones name none: both are kept.
    """

    labels: int
    repeated: int
    contradictory: int
    classes: dict[str, int]
    named: int | None = None
    early: int | None = None
    unknown: int | None = None

    @property
    def sentences(self) -> list[str]:
        """What is worth saying, each a whole sentence."""
        told = []
        if self.repeated:
            other = f", {self.contradictory:,} of them with another label" if self.contradictory else ""
            told.append(f"{self.repeated:,} repeat what the file labels before{other}: the last one holds.")
        if len(self.classes) == 1 and self.labels >= MIN_LABELS:
            told.append(f"All of them are {next(iter(self.classes))!r}: labels of one class tell little of a model.")
        if self.named is not None:
            told.append(f"{self.named:,} name a prediction of the log.")
        if self.early:
            told.append(f"{self.early:,} were known before a prediction with their key was made: they count for none.")
        if self.unknown:
            told.append(f"{self.unknown:,} name no prediction of the log: they are kept, and count if it has one yet.")
        return told


def summarize(usecase: str, entries: list[Entry], *, log_is_here: bool, config: Settings | None = None) -> Summary:
    """Of checked entries. Raises ServiceError or OSError where the log is here and cannot be read."""
    truths: dict[tuple[Any, ...], set[Any]] = {}
    for entry in entries:
        truths.setdefault(_meant(entry), set()).add(_truth(entry))
    said = {
        "labels": len(entries),
        "repeated": len(entries) - len(truths),
        "contradictory": sum(len(several) - 1 for several in truths.values()),
        "classes": dict(Counter(str(entry["label"]) for entry in entries if "label" in entry)),
    }
    return Summary(**said, **(_named(usecase, entries, config or settings()) if log_is_here else {}))


def _meant(entry: Entry) -> tuple[Any, ...]:
    """A key may come back for a later prediction; when the label was known tells one from the other."""
    return ("id", entry["id"]) if "id" in entry else ("key", entry["key"], entry.get("known_at"))


def _truth(entry: Entry) -> Any:
    return entry.get("label", entry.get("value"))


def _named(usecase: str, entries: list[Entry], config: Settings) -> dict[str, int]:
    columns = '"slipway.row_id" AS id, "slipway.key" AS key, "@timestamp" AS answered_at'
    answered = Log(config).predictions(usecase).select(columns).df()
    if answered.empty:
        return {}
    first = answered.dropna(subset="key").groupby("key")["answered_at"].min()
    now = datetime.now(UTC)
    ids, named, early = set(answered["id"]), 0, 0
    for entry in entries:
        if "id" in entry:
            named += entry["id"] in ids
        elif entry["key"] in first.index:
            known = pd.Timestamp(entry["known_at"]) if "known_at" in entry else now
            named, early = (named + 1, early) if known > first[entry["key"]] else (named, early + 1)
    return {"named": named, "early": early, "unknown": len(entries) - named - early}
