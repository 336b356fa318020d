"""The command line as a whole: names, suggestions, errors and exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from slipway import __version__
from slipway.cli import COMMANDS, main
from slipway.cli.app import LazyGroup
from slipway.errors import DataError


def test_version_is_printed(cli):
    ran = cli("--version")
    assert (ran.code, ran.out.strip()) == (0, f"slipway {__version__}")


def test_help_lists_every_command(cli):
    ran = cli("--help")
    assert ran.code == 0
    assert all(f"  {name} " in ran.out for name in COMMANDS)


def test_a_mistyped_command_suggests_the_closest_one(cli):
    ran = cli("trian")
    assert ran.code == 2
    assert "there is no command 'trian'. Did you mean 'train'?" in ran.err


def test_a_name_like_no_command_is_refused_with_where_commands_are_listed(cli):
    ran = cli("xyzzy")
    assert ran.code == 2
    assert "slipway --help" in ran.err


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (DataError("the file has no rows"), "error: the file has no rows"),
        (ModuleNotFoundError("no", name="tensorflow"), "error: the package 'tensorflow' is not installed"),
        (OSError(28, "No space left on device", "var/x"), "error: the disk is full (var/x)"),
    ],
)
def test_what_can_be_explained_is_one_line_and_exit_code_1(monkeypatch, cli, raised, expected):
    def fail(*_):
        raise raised

    monkeypatch.setattr(LazyGroup, "get_command", fail)
    ran = cli("doctor")
    assert ran.code == 1
    assert ran.err.startswith(expected)
    assert ran.err.count("\n") == 1


def test_a_programming_error_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_python_m_slipway_cli_is_the_same_program():
    ran = subprocess.run([sys.executable, "-m", "slipway.cli", "--version"], capture_output=True, text=True)
    assert ran.stdout.strip() == f"slipway {__version__}"
