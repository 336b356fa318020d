"""`slipway keys`: who may use the service, for what, how often and until when."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.options import Json, print_json
from slipway.console import say
from slipway.errors import suggestion

if TYPE_CHECKING:
    from slipway.api_keys import Key


class Action(StrEnum):
    create, list, revoke = "create", "list", "revoke"


def command(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The name of the key.")] = None,
    scopes: Annotated[
        str, typer.Option(metavar="A,B", help="What it is for: predict, feedback, explain, read, admin (all).")
    ] = "predict",
    usecases: Annotated[
        str | None, typer.Option(metavar="A,B", help="The use cases that it is for; all of them by default.")
    ] = None,
    rate: Annotated[
        str, typer.Option(metavar="N/PERIOD", help="Its limit of requests: 100/second, or minute, hour, day.")
    ] = "",
    rows: Annotated[
        str, typer.Option(metavar="N/PERIOD", help="Its limit of rows, in requests of any size: 10000/minute.")
    ] = "",
    expires: Annotated[str, typer.Option(metavar="WHEN", help="Its end: 30d, 12h, or a date as 2027-01-31.")] = "",
    as_json: Json = False,
) -> None:
    """Create, list and revoke API keys; servers of this machine follow within a second.

    A key is printed once, when it is created: the file keeps its digest only.
    """
    from slipway import api_keys, credentials
    from slipway.settings import settings

    path = settings().key_file
    if action is Action.list:
        return _list(api_keys.read(path), as_json)
    if name is None:
        raise typer.BadParameter(f"name the key, as in `slipway keys {action} ci`.")
    if action is Action.revoke:
        key = api_keys.revoke(path, name)
        return _report(key, f"revoked {name}: servers that read {path} refuse it within a second.", as_json)
    until = api_keys.expiry(expires) if expires else None
    only = None if usecases is None else _names(usecases)
    key, secret = api_keys.create(path, name, _names(scopes), rate, until, usecases=only, rows=rows)
    credentials.record_keys(settings())
    _warn_of_unknown(only or [])
    say(f"created {name} in {path}. This is the only time that the key is shown:")
    if as_json:
        return print_json(_public(key) | {"key": secret})
    return typer.echo(secret)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _warn_of_unknown(usecases: list[str]) -> None:
    """Warn of a name that is none here: a key for it is valid, and opens nothing until it is served."""
    from slipway.config import names

    known = names()
    for name in usecases if known else ():
        if name not in known:
            say(f"warning: there is no use case {name!r} here.{suggestion(name, known)} There are: {', '.join(known)}.")


def _list(found: list[Key], as_json: bool) -> None:
    if as_json:
        return print_json([_public(key) for key in found])
    if not found:
        return say("there is no key. Make one: slipway keys create NAME --scopes predict,feedback")
    for key in found:
        typer.echo(_line(key))
    return None


def _line(key: Key) -> str:
    usecases = ",".join(key.usecases) if key.usecases else "all use cases"
    rate, rows = key.rate or "default rate", f"{key.rows} rows" if key.rows else "default rows"
    until = f"until {key.expires:%Y-%m-%d %H:%M}" if key.expires else "without end"
    return f"{key.name:20}  {','.join(key.scopes):30}  {usecases:20}  {rate:14}  {rows:18}  {until}"


def _report(key: Key, sentence: str, as_json: bool) -> None:
    say(sentence)
    if as_json:
        print_json(_public(key))


def _public(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": key.scopes,
        "usecases": key.usecases,
        "rate": key.rate or None,
        "rows": key.rows or None,
        "created": key.created.isoformat(),
        "expires": key.expires.isoformat() if key.expires else None,
    }
