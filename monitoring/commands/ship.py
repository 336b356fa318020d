"""`slipway ship`: moves the prediction log from the spool to its sinks, and fills Elasticsearch again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Json, print_json
from slipway.console import say
from slipway.errors import SlipwayError
from slipway.system.allocator import share_arenas

if TYPE_CHECKING:
    from monitoring.log_shipping.comparison import Comparison
    from monitoring.log_shipping.refill import Replayed
    from monitoring.log_shipping.shipper import Shipper
    from slipway.settings import Settings


def command(
    until: Annotated[
        str | None, typer.Argument(metavar="TO", help="End of --replay and --compare; now without it.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Ship the segments that are complete now, and exit.")] = False,
    replay: Annotated[
        str | None,
        typer.Option(metavar="FROM", help="Send what Elasticsearch lacks, from Parquet: 24h, 7d, or an ISO 8601 time."),
    ] = None,
    replay_refused: Annotated[
        bool, typer.Option("--replay-refused", help="Send the documents again that Elasticsearch refused.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Count Parquet and Elasticsearch by hour, and name what lacks.")
    ] = False,
    since: Annotated[str, typer.Option(metavar="TIME", help="Begin of --compare.")] = "24h",
    as_json: Json = False,
) -> None:
    """Move complete segments of the prediction log from the spool to every sink, until stopped.

    A segment leaves the spool only when every sink has it, so a kill at any time loses and duplicates nothing. The
    sinks are Parquet under SLIPWAY_LOG_URL and, where ELASTICSEARCH_URL is set, Elasticsearch. After a signal it
    continues until the spool is empty, and exits with 0; after a second signal it ends at once.
    """
    if sum((once, replay is not None, replay_refused, compare)) > 1:
        raise typer.BadParameter("--once, --replay, --replay-refused and --compare exclude each other: give one")
    if until is not None and not compare and replay is None:
        raise typer.BadParameter(f"TO={until!r} ends --replay or --compare: give one of them, or leave it out")
    share_arenas()
    if replay is not None:
        _replay(replay, until, as_json)
    elif replay_refused:
        _replay_refused(as_json)
    elif compare:
        _compare(since, until, as_json)
    elif once:
        _once(as_json)
    else:
        _follow()


def _once(as_json: bool) -> None:
    from slipway.settings import settings

    shipped = _shipper(settings()).ship()
    if as_json:
        print_json(asdict(shipped))
    else:
        typer.echo(f"{shipped.events} events of {shipped.segments} segments are in {settings().log_root}")
        if shipped.audit_lines:
            typer.echo(f"{shipped.audit_lines} audit lines were copied to Elasticsearch")
    if shipped.failed:
        raise SlipwayError("; ".join(shipped.failed[:3]) + ". Nothing is lost: run it again when the cause is fixed.")


def _follow() -> None:
    from monitoring.log_shipping.shipper import follow
    from slipway import ecs_logging
    from slipway.settings import settings

    tell = ecs_logging.start("ship")
    shipper = _shipper(settings())
    with _metrics_served(settings(), shipper):
        left = follow(settings(), shipper, tell)
    if left:
        raise SlipwayError(f"{left} events are left in {settings().spool}: the next `slipway ship` takes them.")


def _shipper(settings: Settings) -> Shipper:
    from monitoring.log_shipping.shipper import Shipper, configured_sinks
    from monitoring.log_shipping.sinks import Totals

    totals = Totals()
    return Shipper(settings, configured_sinks(settings, totals), totals, _audit_copy(settings))


def _audit_copy(settings: Settings) -> Callable[[], int] | None:
    from slipway.clients.elasticsearch.connection import is_configured

    if not is_configured(settings):
        return None
    from monitoring.log_shipping.audit_shipping import AuditShipper
    from monitoring.log_shipping.delivery import client_for_delivery

    @cache
    def shipper() -> AuditShipper:
        return AuditShipper(settings, client_for_delivery(settings))

    return lambda: shipper().ship_if_due()  # a key that cannot be read, as yet, holds up no other copy


def _replay(since: str, until: str | None, as_json: bool) -> None:
    from monitoring.log_shipping.delivery import client_for_delivery
    from monitoring.log_shipping.refill import replay
    from slipway.settings import settings

    start, end = _window(since, until)
    with _resumable():
        done = replay(settings(), client_for_delivery(settings()), start, end, say)
    _print(done, as_json)


def _replay_refused(as_json: bool) -> None:
    from monitoring.log_shipping.delivery import client_for_delivery
    from monitoring.log_shipping.refill import replay_refused
    from slipway.settings import settings

    with _resumable():
        done = replay_refused(settings(), client_for_delivery(settings()))
    _print(done, as_json)


@contextmanager
def _resumable() -> Iterator[None]:
    from monitoring.log_shipping.sinks import SinkUnavailable

    try:
        yield
    except SinkUnavailable as error:
        raise SlipwayError(f"Elasticsearch takes no events now: {error} The same command goes on there.") from None


def _print(done: Replayed, as_json: bool) -> None:
    from slipway.settings import settings

    if as_json:
        print_json({"documents": done.documents, "refused": done.refused})
    else:
        typer.echo(f"{done.documents} events are in Elasticsearch")
    if done.refused:
        raise SlipwayError(
            f"{done.refused} events are refused. The files in refused/ of {settings().log_root} have the reasons: "
            "mend the cause, then run `slipway ship --replay-refused`."
        )


def _compare(since: str, until: str | None, as_json: bool) -> None:
    from monitoring.log_shipping.comparison import compare
    from monitoring.log_shipping.delivery import client_for_delivery
    from slipway.settings import settings

    start, end = _window(since, until)
    found = compare(settings(), client_for_delivery(settings()), start, end)
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo("\n".join(_comparison(found)))
    if found.hours:
        raise typer.Exit(1)


def _comparison(found: Comparison) -> list[str]:
    spooled = f"{found.parquet} events in Parquet and in the spool of this machine"
    counts = f"{spooled}, {found.elasticsearch} in Elasticsearch"
    if not found.hours:
        return [counts]
    first = found.hours[0].start
    return [
        *map(str, found.hours),
        counts,
        f"If no shipper is behind, `slipway ship --replay {first:%Y-%m-%dT%H:%MZ}` sends what lacks.",
    ]


def _window(since: str, until: str | None) -> tuple[datetime, datetime]:
    from monitoring.commands.monitor import parse_since

    start, end = parse_since(since), parse_since(until) if until else datetime.now(UTC)
    start, end = start.replace(microsecond=0), end.replace(microsecond=0)  # Elasticsearch compares milliseconds
    if start >= end:
        given = f"FROM is {start:%Y-%m-%d %H:%M} UTC and TO is {end:%Y-%m-%d %H:%M} UTC"
        raise typer.BadParameter(f"{given}: give an earlier FROM")
    return start, end


def _metrics_served(settings: Settings, shipper: Shipper) -> AbstractContextManager[object]:
    if not settings.ship_port:
        return nullcontext()
    from monitoring.log_shipping.exporter import serve_metrics

    return serve_metrics(settings, shipper)
