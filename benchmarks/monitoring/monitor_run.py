"""Run of `slipway monitor` on the generated log, in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.monitoring import generated_log
from benchmarks.monitoring.child_process import Measured, measure


def run_monitor(
    home: Path, rows: int, *, detailed: bool = False, registry: str = generated_log.NOWHERE
) -> tuple[Measured, dict[str, Any]]:
    """Monitor the last predictions of the log; returns what it took, and its verdict.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    page = "--detailed" if detailed else "--no-detailed"
    command = ["-m", "slipway.cli", "monitor", generated_log.NAME, "--bundle", str(home / "bundle")]
    options = ["--window-rows", str(rows), page, "--json"]
    found = measure([*command, *options], generated_log.environment(home, registry))
    return found, json.loads(found.output)
