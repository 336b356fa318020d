"""Command in a process of its own, with the time and the memory that it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Measured:
    """Seconds on the clock and of all cores, MB of memory at its peak, and what the command printed."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


def measure(arguments: Sequence[str], environment: Mapping[str, str], cores: int = 2) -> Measured:
    """Run `python ARGUMENTS` to its end on so many cores. Its settings are those of `environment` alone.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=partial(os.sched_setaffinity, 0, chosen),
    )
    assert process.stdout
    with process.stdout:
        output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, output)
    return Measured(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, output)
