"""The command line: one module per command, imported only when that command runs.

`slipway/cli/NAME.py` holds one plain function `command`, typed for typer (`Annotated[..., typer.Option()]`), and
COMMANDS names it. So `slipway --help` loads typer and nothing else.
"""

from __future__ import annotations

import errno
import functools
import importlib
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from slipway import __version__
from slipway.cli.environment import prepare
from slipway.errors import SlipwayError, suggestion

__all__ = ["COMMANDS", "load", "main"]

COMMANDS = {
    "doctor": "Check this machine and what runs; each finding has its fix.",
    "train": "Run a use case's pipeline: data in, a registered version out.",
    "predict": "Answer rows, a file or an image without a server.",
    "promote": "Make a version the champion.",
    "rollback": "Take back the canary, else the champion.",
    "history": "Say what happened to a model, who did it, and what stands.",
    "package": "Make a Bento and an image of a version.",
    "serve": "Serve use cases over HTTP.",
    "keys": "Create, list and revoke API keys.",
    "follow": "Bring the registry's choice to the servers of this machine.",
    "ship": "Move the prediction log to Parquet.",
    "watch": "Keep registry and servers in agreement; show their state.",
    "monitor": "Compare logged predictions with the reference.",
    "feedback": "Send labels that came later.",
    "traffic": "Send realistic requests, with drift of a chosen kind.",
    "smoke": "Check a deployment as a client does.",
    "status": "Say what runs, where, and in which version.",
    "up": "Start the whole stack and keep it running.",
    "down": "End what `up` started.",
    "demo": "Run the whole path once and check every part of it.",
    "loop": "Run the closed loop once and check every transition.",
}


class LazyGroup(TyperGroup):
    """A group whose list comes from COMMANDS and whose commands are imported on demand."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | None:
        return load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> tuple[str | None, TyperCommand | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            hint = suggestion(name, COMMANDS) or " `slipway --help` lists them."
            ctx.fail(f"there is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


def load(name: str) -> TyperCommand:
    """The typer command made from `slipway.cli.NAME.command`, which finds its environment prepared."""
    command = importlib.import_module(f"slipway.cli.{name}").command

    @functools.wraps(command)
    def prepared(*args: Any, **kwargs: Any) -> Any:
        prepare()
        return command(*args, **kwargs)

    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    single.command(name, help=None)(prepared)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyGroup, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slipway {__version__}")
        raise typer.Exit


@app.callback()
def slipway(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From a push to main to a watched model in production, and back again when the world changes."""


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 on success only, 1 with `error: …` on stderr, 2 for wrong usage, 78 in a
    container whose settings are wrong."""
    try:
        app(args=args, prog_name="slipway")
    except SlipwayError as error:
        from slipway.settings import exit_code

        _fail(str(error), exit_code(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"slipway", "pipelines", "bentos", "monitoring"}:
            raise
        _fail(f"the package {error.name!r} is not installed. `make demo` installs everything.")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"the disk is full{where}. Free some space and run the same command again: it goes on where it stopped.")
    raise SystemExit(0)


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise SystemExit(code)
