"""Results of searches as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from monitoring.governance.history import describe_provenance
from monitoring.search.results import (
    CallerErrors,
    ChangeComparison,
    Event,
    FoundPredictions,
    Group,
    Prediction,
    Result,
    Totals,
    WorstSlices,
)
from slipway.texts import one_line
from slipway.timestamps import parse

_MOST_FEATURES = 60
_MOST_CELL = 1_200  # characters: a key has at most 1,024
Row = tuple[str, ...]


def render(result: Result) -> list[str]:
    """Write a result as lines of text."""
    if isinstance(result, FoundPredictions):
        return _predictions(result)
    if isinstance(result, ChangeComparison):
        return _changes(result)
    return _callers(result) if isinstance(result, CallerErrors) else _slices(result)


def table(rows: Sequence[Row]) -> list[str]:
    """Align columns to their widest cell; the last one is free. A caller's text stays on its line."""
    if not rows:
        return []
    rows = [tuple(one_line(cell, _MOST_CELL) for cell in row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in list(zip(*rows, strict=True))[:-1]]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip()
        for row in rows
    ]


def _predictions(found: FoundPredictions) -> list[str]:
    if len(found.predictions) == 1:
        return _prediction(found.predictions[0])
    rows = [(each.id, each.usecase, *_response(each.events[0])) for each in found.predictions]
    more = ["  and more: narrow the search with --usecase or --since"] if found.has_more else []
    title = f"{len(found.predictions)} predictions have {found.text!r}; search for an id to see everything of one"
    return [title, *table(rows), *more]


def _prediction(found: Prediction) -> list[str]:
    first = found.events[0]
    return [
        f"Prediction {found.id} of {found.usecase}",
        *table([(f"as {event['role']}", *_response(event)) for event in found.events]),
        *table(_facts(found, first)),
        "",
        "Features, as they were logged",
        *table([(name, _text(value)) for name, value in list((first["features"] or {}).items())[:_MOST_FEATURES]]),
        *_section("Warnings", [(each.get("feature", ""), each.get("reason", "")) for each in first["warnings"] or []]),
        *_section("Where the version is from", _origin(found)),
        *_section("Log lines", [_log_line(line) for line in found.log_lines]),
        *_section("Problems", [(problem,) for problem in found.problems]),
    ]


def _response(event: Event) -> Row:
    what = _either(event) if event["outcome"] == "success" else f"failed ({event['error']})"
    score = f", score {event['score']:.4f}" if event["score"] is not None else ""
    got = "the caller got it" if event["answered"] else "the caller did not get it"
    return _time(event["at"]), f"version {event['version']}", f"{what}{score}; {got}"


def _facts(found: Prediction, first: Event) -> list[Row]:
    label = found.label
    truth = f"{_either(label)}, known at {_time(label['known_at'])}" if label else "none yet"
    known = {
        "label": truth,
        "caller": first["caller"] or "not known: no credential was needed",
        "key": first["key"],
        "trace.id": first["trace"],
        "request": first["request"],
        "bundle": first["digest"],
        "test": "yes: it counts in no statistic" if first["test"] else None,
    }
    return [(name, value) for name, value in known.items() if value]


def _origin(found: Prediction) -> list[Row]:
    trace = found.trace
    if trace is None or trace.stands_on is None:
        return []
    version = trace.stands_on
    rows = [("registered", f"{_time(version['registered'])}; {describe_provenance(version)}")]
    rows += [("gate", f"{gate['verdict']}: {gate['sentence']}") for gate in version["gates"] or []]
    if trace.put_there:
        rows.append((trace.put_there.action, f"{_time(trace.put_there.at)}, by {trace.promoter}"))
    return rows


def _log_line(line: Event) -> Row:
    at = _time(str(line["at"])) if line["at"] else ""
    return at, str(line["level"] or ""), str(line["process"] or ""), one_line(str(line["message"] or ""))


def _changes(found: ChangeComparison) -> list[str]:
    shifts = [
        (each.field.removeprefix("slipway."), each.value, f"{each.before:.1%}", "to", f"{each.after:.1%}")
        for each in found.shifts
    ]
    actions = [
        (_time(each["at"]), each["action"], f"version {each['version']}" if each["version"] else "", each["why"])
        for each in found.actions
    ]
    return [
        f"{found.usecase}, {found.minutes} minutes before and after {_time(found.at)} UTC",
        *table(_totals(found.before, found.after)),
        *_section("What was done to its models", actions or [("nothing that the audit knows",)]),
        *_section("What shifted, by more than chance explains", shifts or [("no share of rows",)]),
        *_section("Problems", [(problem,) for problem in found.problems]),
    ]


def _totals(before: Totals, after: Totals) -> list[Row]:
    def means(name: str) -> Row:
        values = getattr(before, name), getattr(after, name)
        return tuple("none" if value is None else f"{value:.4g}" for value in values)

    return [
        ("rows", f"{before.rows:,}", f"{after.rows:,}"),
        ("failed", f"{before.failed:,}", f"{after.failed:,}"),
        ("mean duration, ms", *means("latency_ms")),
        ("mean time in the model, ms", *means("model_ms")),
        ("mean score", *means("score")),
    ]


def _callers(found: CallerErrors) -> list[str]:
    title = f"{found.failed:,} of {found.rows:,} rows of {found.usecase} failed since {_time(found.since)} UTC"
    rows = [(caller.value, *_failures(caller)) for caller in found.callers]
    if found.unknown.failed:
        rows.append(("not known: without a credential, or beyond the first 100", *_failures(found.unknown)))
    return [title, *table(rows), *_section("Refused requests, by HTTP status", _refusals(found))]


def _refusals(found: CallerErrors) -> list[Row]:
    if found.refused is None:
        return [("not searched: the service's log lines are in Elasticsearch only (ELASTICSEARCH_URL)",)]
    return [
        (group.value or "not known", ", ".join(f"{status}: {number:,}" for status, number in group.errors.items()))
        for group in found.refused
    ]


def _failures(group: Group) -> Row:
    types = ", ".join(f"{name} {number:,}" for name, number in group.errors.items())
    return f"{group.failed:,} of {group.rows:,}", f"{group.failed / group.rows:.1%}", types


def _slices(found: WorstSlices) -> list[str]:
    if found.error is None:
        return found.problems
    title = (
        f"{found.usecase} since {_time(found.since)} UTC: {found.measure} {found.error:.4g} on all {found.labelled:,} "
        "labelled rows"
    )
    rows = [
        (f"{each.feature} is {each.value}", f"{each.error:.4g}", f"{each.rows:,} rows", f"{each.z:.1f} standard errors")
        for each in found.slices
    ]
    return [title, *table(rows), *found.problems]


def _section(title: str, rows: Sequence[Row]) -> list[str]:
    return ["", title, *table(rows)] if rows else []


def _either(truth: dict[str, Any]) -> str:
    return str(truth["value"] if truth["label"] is None else truth["label"])


def _text(value: Any) -> str:
    return one_line(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _time(at: str) -> str:
    return f"{parse(at):%Y-%m-%d %H:%M:%S}"
