"""The command line: one module per command, imported only when that command runs.

A command's module holds one plain function `command`, typed for typer (`Annotated[..., typer.Option()]`), and COMMANDS
names it. So `slipway --help` loads typer and nothing else.
"""

from __future__ import annotations

import errno
import functools
import importlib
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from slipway import __version__
from slipway.cli.commands import COMMANDS
from slipway.cli.environment import prepare
from slipway.errors import SlipwayError, suggestion

__all__ = ["load_command", "main", "run_program"]

_PACKAGES = {command.module.partition(".")[0] for command in COMMANDS.values()}


class LazyGroup(TyperGroup):
    """A group of the commands in COMMANDS, which are imported on demand."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            hint = suggestion(name, COMMANDS) or " `slipway --help` lists them."
            ctx.fail(f"there is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


def load_command(name: str) -> TyperCommand:
    """Import the command's module and make a typer command of its function."""
    return _prepared(importlib.import_module(COMMANDS[name].module).command, name)


def _prepared(command: Callable[..., Any], name: str) -> TyperCommand:
    """Make a typer command that sets the libraries' variables before its function runs."""

    @functools.wraps(command)
    def prepared(*args: Any, **kwargs: Any) -> Any:
        prepare()
        return command(*args, **kwargs)

    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    single.command(name, help=None)(prepared)
    found: Any = typer.main.get_command(single)  # typer's types name its private copy of click
    return found


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
    _run(app, args, "slipway")


def run_program(command: Callable[..., Any], name: str, args: list[str] | None = None) -> NoReturn:
    """Run one function as a program of its own, with the options, errors and exit codes of the command line."""
    _run(_prepared(command, name), args, name)


def _run(program: Callable[..., Any], args: list[str] | None, name: str) -> NoReturn:
    try:
        program(args=args, prog_name=name)
    except SlipwayError as error:
        from slipway.settings import exit_code

        _fail(str(error), exit_code(error))
    except ModuleNotFoundError as error:
        if error.name in _PACKAGES:
            _fail(f"the package {error.name!r} is not part of this installation. Run the command in a checkout.")
        if error.name is None or error.name.partition(".")[0] in _PACKAGES:
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
