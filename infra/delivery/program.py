"""Programs that the delivery calls: git, docker, cosign, kubectl, make and `slipway`, each found on PATH."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipway.errors import ServiceError
from slipway.texts import one_line

ROOT = Path(__file__).resolve().parents[2]
COMMAND_SECONDS = 120.0
_MOST_SHOWN = 6  # words of a command in a message
_LAST_LINES, _MOST_CHARACTERS = 5, 500
_LIBRARY_LOG = re.compile(r"[EWI]\d{4} \d\d:\d\d:\d\d")  # as klog writes, https://github.com/kubernetes/klog
_PAGES = {
    "git": "https://git-scm.com/downloads",
    "docker": "https://docs.docker.com/engine/install/",
    "cosign": "https://docs.sigstore.dev/cosign/system_config/installation/",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
}


class ProgramFailed(ServiceError):
    """A program ended with an error; `output` is what it wrote to standard error."""

    def __init__(self, command: Sequence[str], output: str) -> None:
        super().__init__(f"`{_shown(command)}` failed: {_reason(output)}")
        self.output = output


def run(*command: str, stdin: str | None = None, seconds: float = COMMAND_SECONDS) -> str:
    """Run a program in the root of the checkout and return its standard output.

    Raises:
        ProgramFailed: it ended with an error.
        ServiceError: it is not installed, or did not end in time.
    """
    done = _completed(command, seconds, input=stdin, capture_output=True)
    if done.returncode:
        raise ProgramFailed(command, done.stderr or done.stdout)
    return done.stdout


def run_visibly(*command: str, seconds: float) -> None:
    """Run a program whose output a person wants to see, on standard error. Raises as `run` does."""
    if _completed(command, seconds, stdout=sys.stderr).returncode:
        raise ProgramFailed(command, "its output is above.")


def slipway(*arguments: str, seconds: float) -> Any:
    """Run `slipway ARGUMENTS --json` and return its result; its progress goes to standard error. Raises as `run`."""
    command = (sys.executable, "-m", "slipway.cli", *arguments, "--json")
    done = _completed(command, seconds, stdout=subprocess.PIPE)
    if done.returncode:
        raise ProgramFailed(("slipway", *arguments), "its output is above.")
    return json.loads(done.stdout)


def _completed(command: Sequence[str], seconds: float, **streams: Any) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=ROOT, text=True, timeout=seconds, check=False, **streams)
    except FileNotFoundError:
        raise ServiceError(f"{command[0]} is not installed: see {_PAGES.get(command[0], 'its page')}.") from None
    except subprocess.TimeoutExpired:
        raise ServiceError(f"`{_shown(command)}` did not end within {seconds:.0f} s.") from None


def _reason(output: str) -> str:
    """Return the end of what a program wrote, without the lines that kubectl's library logs."""
    lines = [line for line in output.strip().splitlines() if line.strip() and not _LIBRARY_LOG.match(line)]
    return one_line(" ".join(lines[-_LAST_LINES:])[-_MOST_CHARACTERS:]) or "it gave no reason."


def _shown(command: Sequence[str]) -> str:
    return " ".join(command[:_MOST_SHOWN]) + (" …" if len(command) > _MOST_SHOWN else "")
