"""Checks on an NVIDIA GPU, within eight minutes and without a network: docs/explanation/gpu.md has their table.

It needs Python 3.11 and the folder of wheels that `python -m benchmarks.gpu.download` fills, and makes the environments
for serving and training itself. `--dry` tries on any machine whether all of it runs, with the CPU in place of the GPU.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu import environments, machine
from benchmarks.gpu.check import NOT_HELD, Check, table
from benchmarks.gpu.download import WHEELS
from benchmarks.gpu.environments import LOCKS, ROOT, Environment
from benchmarks.gpu.runner import Runner
from benchmarks.pages import write

FOLDER = ROOT / "docs" / "explanation"
PAGE, RECORD = "gpu.md", "gpu.json"
MINUTES = 8.0
NEVER_RUN = "**This has never been run on a GPU**: the project has had no machine with one. What it checks is below."


def page_lines(record: Path) -> list[str]:
    """Format the page's part from the record of the last run; without one it says that there was none."""
    if not record.exists():
        return [NEVER_RUN]
    found = json.loads(record.read_text())
    return [*table(Check(*check) for check in found["checks"]), "", f"{found['machine']}; {found['seconds']} s in all."]


def run(options: argparse.Namespace, device: str) -> Iterator[Check]:
    """Make the environments that are not given, and run the steps until the time is over."""
    deadline = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="gpu-") as name:
        folder = Path(name)
        made = environments.prepare(options.given, options.wheels, folder, lambda: deadline - time.monotonic())
        yield from Runner(made, folder, device, deadline, quick=options.dry).run()


def _given(options: argparse.Namespace) -> list[Environment]:
    """Return the environments that are there: in a dry run this one, unless others or wheels are named."""
    named = {name: getattr(options, name) for name in LOCKS}
    if options.dry and not options.wheels and not any(named.values()):
        return environments.own()
    return [Environment(name, python, LOCKS[name]) for name, python in named.items() if python]


def shown(checks: Iterable[Check]) -> list[Check]:
    """Print each check as it is known, and return all of them."""
    found = []
    for check in checks:
        sys.stdout.write(f"{check.verdict:8}  {check.name}: {check.detail}\n")
        sys.stdout.flush()
        found.append(check)
    return found


def keep(record: dict[str, Any], folder: Path) -> None:
    """Write the record of a run, and the page's part from it."""
    (folder / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    write(page_lines(folder / RECORD), folder / PAGE)


def main() -> int:
    """Run the benchmark; returns 1 if a check did not hold, and 2 if nothing could be run."""
    options = _options()
    gpus = machine.gpus()
    if not options.dry and (reason := _missing(gpus, options)):
        sys.stdout.write(f"Left out: {reason}\n")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the steps end, too
    began = time.monotonic()
    checks = shown(run(options, "cpu" if options.dry else "gpu"))
    seconds = round(time.monotonic() - began)
    if options.dry:
        sys.stdout.write(f"{seconds} s; a dry run writes nothing\n")
    else:
        keep({"machine": machine.describe(gpus), "seconds": seconds, "checks": checks}, options.folder)
        sys.stdout.write(f"{seconds} s; written to {options.folder / PAGE}\n")
    return 1 if any(check.verdict == NOT_HELD for check in checks) else 0


def _missing(gpus: list[str], options: argparse.Namespace) -> str:
    """Return what a run lacks, in a sentence; empty if nothing."""
    if not gpus:
        return "nvidia-smi shows no NVIDIA GPU here. `--dry` tries the benchmark on the CPU."
    if len(options.given) < len(LOCKS) and not any(options.wheels.glob("*.whl")):
        return f"{options.wheels} holds no wheels. `python -m benchmarks.gpu.download` fills it from the network."
    return ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--wheels", type=Path, help=f"folder of the wheels (default: {WHEELS})")
    for name in LOCKS:
        parser.add_argument(f"--{name}", type=Path, metavar="PYTHON", help=f"an environment for {name} that is there")
    parser.add_argument("--dry", action="store_true", help="with the CPU, in tiny sizes; nothing is written")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"time for all of it (default: {MINUTES:g})")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where {PAGE} and {RECORD} are")
    options = parser.parse_args()
    options.given = _given(options)
    options.wheels = options.wheels or WHEELS
    if len(options.given) < len(LOCKS) and sys.version_info[:2] != (3, 11):
        parser.error(f"this is Python {sys.version.split()[0]}, and the locked wheels are for 3.11: use python3.11.")
    return options


if __name__ == "__main__":
    sys.exit(main())
