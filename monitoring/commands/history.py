"""`slipway history`: events of a use case's models, their current state and its verification; traces of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.options import Json, UseCaseName, print_json
from slipway.timestamps import parse

if TYPE_CHECKING:
    from monitoring.governance.history import Event, History
    from monitoring.governance.trace import Trace

_SHOWN = 12


def command(
    name: UseCaseName,
    id: Annotated[
        str | None, typer.Option("--id", metavar="PREDICTION", help="Trace one prediction, by the id in its response.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Leave out earlier events: 24h, 7d, or an ISO 8601 time.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the history of a use case's models, their current state, and whether it is what was registered.

    Every byte of every version is checked, and the two copies of the audit are compared; exits with 1 if something was
    altered.
    """
    from monitoring.commands.monitor import parse_since
    from monitoring.governance.history import gather
    from monitoring.governance.trace import trace
    from slipway.settings import settings

    if id and since:
        raise typer.BadParameter("--id is about one prediction: leave --since out")
    found: History | Trace = (
        trace(name, id, settings()) if id else gather(name, settings(), parse_since(since) if since else None)
    )
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo("\n".join(_trace_lines(found) if id else _history_lines(found)))
    if not found.is_verified:
        raise typer.Exit(1)


def _history_lines(found: History) -> list[str]:
    return [
        f"What happened to {found.usecase} in {found.environment}",
        *_table([_events(same) for same in _folded(found.events)], "No events."),
        "",
        "Current state",
        *_table(_aliases(found), "No alias and no tag is set."),
        *(f"  warning: {warning}" for warning in found.warnings),
        *_table(_versions(found), "No version is registered."),
        *_table(_servers(found), "No server is known."),
        "",
        "Verification",
        *_verification(found),
    ]


def _folded(events: Sequence[Event]) -> list[list[Event]]:
    """Group equal consecutive events, such as a refusal for each of many alerts, into one line."""
    return [list(same) for _, same in groupby(events, lambda each: (each.action, each.version, each.who, each.why))]


def _events(same: Sequence[Event]) -> tuple[str, ...]:
    from monitoring.governance.alias_changes import describe

    event, last = same[0], same[-1]
    version = f"version {event.version}" if event.version else ""
    times = f"{len(same)} times until {_time(last.at)}" if len(same) > 1 else ""
    details = "; ".join(filter(None, [describe(event.evidence), event.why, times]))
    return _time(event.at), event.action, version, event.who, details


def _aliases(found: History) -> list[tuple[str, ...]]:
    return [("alias", alias, f"version {number}") for alias, number in sorted(found.aliases.items())] + [
        ("tag", tag, value) for tag, value in sorted(found.tags.items())
    ]


def _versions(found: History) -> list[tuple[str, ...]]:

    return [
        (
            "version",
            each["version"],
            f"bundle {_short(each['digest'])}",
            _described(each),
        )
        for each in found.versions
    ]


def _described(version: dict[str, Any]) -> str:
    from monitoring.governance.history import describe_provenance

    return "; ".join([describe_provenance(version), *_tags(version)])


def _tags(version: dict[str, Any]) -> list[str]:
    """Tags of people and servers on a version."""
    found = [f"in {environment}: {state}" for environment, state in version["serving"].items()]
    found += [f"override: {version['override']}"] if version["override"] else []
    return found + ([f"refused: {version['refused']}"] if version["refused"] else [])


def _servers(found: History) -> list[tuple[str, ...]]:
    return [
        (
            "server",
            each["address"],
            each["error"]
            or ", ".join(f"version {w['version']}, bundle {_short(w['digest'])}" for w in each["workers"]),
        )
        for each in found.servers
    ]


def _verification(found: History) -> list[str]:
    sound = sum(version["verified"] for version in found.versions)
    summary = [f"{sound} of {len(found.versions)} versions: every byte is as registered.", _audit(found.audit)]
    return [*summary, *(found.problems or ["ok"])]


def _audit(audit: dict[str, Any]) -> str:
    lines = f"{audit['lines']} audit lines, in the log"
    if audit["copy"] is None:
        return f"{lines} only: set ELASTICSEARCH_URL, and `slipway ship` makes a second copy."
    if not audit["compared"]:
        return f"{lines}; they were not compared with those in {audit['copy']}."
    waiting = f"; {audit['pending']} are not copied yet." if audit["pending"] else "."
    return f"{lines} and in {audit['copy']}{waiting}"


def _trace_lines(found: Trace) -> list[str]:
    first, stands = found.answers[0], found.stands_on
    label = found.label
    truth = "none yet" if label is None else f"{_either(label)}, known at {_time(label['known_at'])}"
    rows = [
        ("prediction", found.id),
        *((f"as {each['role']}", _response(each)) for each in found.answers),
        ("label", truth),
        ("bundle", first["digest"]),
    ]
    if stands:
        rows += [
            ("registered", f"{_time(stands['registered'])}, run {stands['run_id']}"),
            ("data", stands["data_sha256"] or "not known"),
            ("commit", stands["git_commit"] or "not known"),
            *(("gate", f"{gate['verdict']}: {gate['sentence']}") for gate in stands["gates"] or []),
            *((("override", stands["override"]),) if stands["override"] else ()),
        ]
    line = found.put_there
    if line:
        named = f" ({line.who}, says the line)" if line.who != found.promoter else ""
        rows.append((line.action, f"{_time(line.at)}{': ' if line.why else ''}{line.why}"))
        rows.append(("by", f"{found.promoter}{named}"))
    else:
        rows.append(("promoted", f"no line says so; by {found.promoter}"))
    return [*_table(rows, ""), "", *(found.problems or ["ok: every byte of this version is as it was registered"])]


def _response(each: dict[str, Any]) -> str:
    what = _either(each) if each["outcome"] == "success" else f"failed ({each['error']})"
    score = f", score {each['score']:.4f}" if each["score"] is not None else ""
    got = "the caller got it" if each["answered"] else "the caller did not get it"
    return f"{_time(each['at'])}: version {each['version']}: {what}{score} in {each['model_ms']:.2f} ms; {got}"


def _either(truth: dict[str, Any]) -> str:
    return str(truth["value"] if truth["label"] is None else truth["label"])


def _table(rows: Sequence[tuple[str, ...]], empty: str) -> list[str]:
    """Columns as wide as their widest cell; the last one is free."""
    if not rows:
        return [f"  {empty}"]
    widths = [max(len(cell) for cell in column) for column in list(zip(*rows, strict=True))[:-1]]
    return [
        "  " + "  ".join([cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]).rstrip()
        for row in rows
    ]


def _time(at: str) -> str:
    return f"{parse(at):%Y-%m-%d %H:%M:%S}"


def _short(digest: str | None) -> str:
    return digest[:_SHOWN] if digest else "unknown"
