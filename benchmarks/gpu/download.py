"""Download the wheels that the GPU benchmark installs: `python -m benchmarks.gpu.download FOLDER`.

They are those of the locks of the GPU images, checked by their hashes, for Python 3.11 on Linux and x86-64.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.environments import INSTALLER, LOCKS, ROOT

WHEELS = ROOT / "build" / "gpu-wheels"
NEEDED = ("Linux", "x86_64", "3.11")


def download(folder: Path) -> None:
    """Download what is not there yet. Raises CalledProcessError where pip fails, which prints why."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--progress-bar", "off"]
    for lock in (INSTALLER, *LOCKS.values()):
        locked = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(ROOT / "locks" / f"{lock}.txt")]
        subprocess.run([*pip, *locked, "--dest", str(folder)], check=True)


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=WHEELS, help=f"where to put them (default: {WHEELS})")
    options = parser.parse_args()
    here = (platform.system(), platform.machine(), ".".join(platform.python_version_tuple()[:2]))
    if here != NEEDED:
        parser.error(
            f"this is Python {here[2]} on {here[0]} and {here[1]}, and pip downloads what suits where it runs: use "
            f"Python {NEEDED[2]} on {NEEDED[0]} and {NEEDED[1]}, for instance in the container python:3.11."
        )
    try:
        download(options.folder)
    except subprocess.CalledProcessError as error:
        return error.returncode
    found = list(options.folder.glob("*.whl"))
    size = sum(path.stat().st_size for path in found) / 1e9
    sys.stdout.write(f"{len(found)} wheels, {size:.1f} GB, in {options.folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
