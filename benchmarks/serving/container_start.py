"""Command `python -m benchmarks.serving.container_start IMAGE`: time from `docker run` to ready.

The serving image is compared with an empty BentoML service in the same image; both have a read-only root.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving.measurement import Figure, in_pairs
from benchmarks.serving.targets.servers import START_SECONDS
from slipway.system.ports import free_port

EMPTY = Path(__file__).with_name("targets") / "empty_service.py"
OURS = ("--env=SLIPWAY_INSECURE=true", "--env=SLIPWAY_MASK_KEY=any secret will do here")
THEIRS = (f"--volume={EMPTY}:/empty/empty_service.py:ro", "--workdir=/empty", "--entrypoint=bentoml")
ARGUMENTS = ("serve", "-q", "--host=0.0.0.0", "empty_service:Empty")


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--pairs", type=int, default=7)
    given = parser.parse_args()

    def ours() -> float:
        return _seconds(given.image, OURS)

    def theirs() -> float:
        return _seconds(given.image, THEIRS, ARGUMENTS)

    ours(), theirs()  # from here on both have their files in the page cache
    pairs = in_pairs(ours, theirs, given.pairs)
    figure = Figure("docker run to ready: an empty BentoML service", "≤ + 1 s", None, 1.0, *pairs, "s", difference=True)
    sys.stdout.write(f"{figure.row}\n")
    return 0 if figure.met else 1


def _seconds(image: str, options: Sequence[str], arguments: Sequence[str] = ()) -> float:
    port = free_port(13000)
    publish = f"--publish=127.0.0.1:{port}:3000"
    argv = ["docker", "run", "--detach", "--rm", "--read-only", "--tmpfs=/tmp", publish, *options, image, *arguments]
    began = time.perf_counter()
    container = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    try:
        while not _ready(port):
            if time.perf_counter() - began > START_SECONDS:
                raise TimeoutError(f"{image} is not ready after {START_SECONDS} s")
            time.sleep(0.02)
        return time.perf_counter() - began
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", container], capture_output=True, check=True)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
