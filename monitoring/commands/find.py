"""`slipway find`: predictions by id, trace.id or key; what changed at a time; callers with errors; the worst slices."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Json, print_json
from slipway.console import say
from slipway.timestamps import parse

if TYPE_CHECKING:
    from monitoring.search.event_source import EventSource
    from monitoring.search.results import Result
    from slipway.settings import Settings

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_AROUND = re.compile(r"([1-9]\d{0,4})([mh])")
_CHOICES = ("auto", "elasticsearch", "parquet")
_SINCE = {"text": "30d", "errors": "24h", "slices": "7d"}
Question = Callable[["EventSource"], "Result"]


def command(
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="An id, a trace.id, an X-Request-Id, or a caller's key."),
    ] = None,
    usecase: Annotated[
        str | None, typer.Option("--usecase", metavar="NAME", help="The use case; all of them for a TEXT without it.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="What changed then: 14:00 (UTC, the latest one) or an ISO 8601 time."),
    ] = None,
    around: Annotated[str, typer.Option(metavar="TIME", help="How long before and after --at is compared.")] = "1h",
    errors: Annotated[bool, typer.Option("--errors", help="Which callers get errors.")] = False,
    slices: Annotated[bool, typer.Option("--slices", help="On which slices predictions are worst.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Look no further back: 24h, 7d or an ISO 8601 time. By default 30d, with --errors 24h, --slices 7d.",
        ),
    ] = None,
    source: Annotated[
        str, typer.Option("--from", metavar="SOURCE", help="Where to look: auto, elasticsearch or parquet.")
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Search predictions, in Elasticsearch (ELASTICSEARCH_URL) or, without it, in the prediction log.

    Give a TEXT, or one of --at, --errors and --slices with --usecase.
    """
    from monitoring.search.rendering import render
    from monitoring.search.source_choice import ask
    from slipway.config import NAME
    from slipway.settings import settings

    given = [name for name, value in (("text", text), ("at", at), ("errors", errors), ("slices", slices)) if value]
    if len(given) != 1:
        raise typer.BadParameter("give a TEXT (an id, trace.id or key), or one of --at, --errors and --slices")
    if usecase and not re.fullmatch(NAME, usecase):
        raise typer.BadParameter(f"--usecase {usecase!r} is no name of a use case: small letters, digits and '_'.")
    if source not in _CHOICES:
        raise typer.BadParameter(f"--from {source!r}: give one of {', '.join(_CHOICES)}.")
    question = _question(given[0], text or "", usecase, at or "", around, since, settings())
    result, name, notes = ask(question, settings(), source)  # type: ignore[arg-type]  # checked above
    if as_json:
        print_json({"source": name, "notes": notes, **result.to_dict()})
        return
    for note in notes:
        say(note)
    typer.echo("\n".join([*render(result), "", f"Source: {name}."]))


def _question(
    kind: str, text: str, usecase: str | None, at: str, around: str, since: str | None, config: Settings
) -> Question:
    """Make the search that the options ask for."""
    from monitoring.commands.monitor import parse_since
    from monitoring.search.caller_errors import caller_errors
    from monitoring.search.change_comparison import compare_around
    from monitoring.search.prediction import find_predictions
    from monitoring.search.slice_errors import worst_slices

    begin = parse_since(since or _SINCE.get(kind, "30d"))
    if kind == "text":
        return lambda source: find_predictions(source, text, config, begin, usecase)
    if not usecase:
        raise typer.BadParameter(f"--{kind} is about one use case: add --usecase NAME")
    if kind == "at":
        moment, span = parse_moment(at, datetime.now(UTC)), parse_around(around)
        return lambda source: compare_around(source, usecase, moment, span, config)
    if kind == "errors":
        return lambda source: caller_errors(source, usecase, begin)
    return lambda source: worst_slices(source, usecase, begin)


def parse_moment(text: str, now: datetime) -> datetime:
    """Parse a time of `--at`: `14:00` is the latest one that is not in the future, in UTC.

    >>> parse_moment("14:00", datetime(2026, 1, 31, 12, tzinfo=UTC)).isoformat()
    '2026-01-30T14:00:00+00:00'
    """
    if clock := _CLOCK.fullmatch(text):
        moment = datetime.combine(now.date(), time(int(clock[1]), int(clock[2])), UTC)
        return moment if moment <= now else moment - timedelta(days=1)
    try:
        return parse(text)
    except ValueError:
        raise typer.BadParameter(f"--at {text!r}: give a time of day like 14:00 (UTC), or 2026-01-31T12:00Z.") from None


def parse_around(text: str) -> timedelta:
    """Parse a length of time: `30m` or `2h`."""
    found = _AROUND.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"--around {text!r}: give minutes or hours, like 30m or 2h.")
    return timedelta(**{"minutes" if found[2] == "m" else "hours": int(found[1])})
