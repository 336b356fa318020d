"""The command line `slipway`, which finds its commands by name."""

from slipway.cli.app import load_command, main, run_program
from slipway.cli.commands import COMMANDS

__all__ = ["COMMANDS", "load_command", "main", "run_program"]
