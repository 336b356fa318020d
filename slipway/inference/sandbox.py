"""Sandboxed load: another process loads a bundle and predicts its probe, before a process that serves does so.

A small file may hold a network that needs any amount of memory or time, and no check of the file can tell in general.
So it is measured: where that process ends, is killed or takes too long, the one that serves has lost nothing. It runs
on the CPU, where a network needs at least the memory that it needs of the machine beside a GPU.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from slipway.contracts.bundle import manifest
from slipway.errors import BundleError, DamagedFile
from slipway.inference.predictor import Parts, Predictor
from slipway.system.processes import die_with

SANDBOX_SECONDS = 60.0
MIN_BYTES = 128 << 20  # a small network is tried with this much where the machine says that less is left
_REFUSED = 3
_REASON_BYTES = 2000
_MIB = 1 << 20


def require_survival(directory: Path, digest: str, memory: int | None) -> None:
    """Load a stored bundle in another process, with at most `memory` bytes beyond the interpreter's own.

    Raises:
        BundleError: the process did not survive, or found the bundle unfit.
        OSError: the process could not be run.
    """
    most = None if memory is None else max(memory, MIN_BYTES)
    try:
        ended = _run(directory, digest, most)
    except subprocess.TimeoutExpired:
        raise BundleError(
            f"a sandboxed load took more than {SANDBOX_SECONDS:.0f} s: make the network smaller, or promote it again "
            "when the machine is less busy."
        ) from None
    text = ended.stdout.decode(errors="replace").strip()
    within = f" with the {most // _MIB} MiB that each worker of this machine may still take" if most else ""
    if ended.returncode == _REFUSED:
        raise BundleError(f"a sandboxed load{within} failed: {text}")
    if ended.returncode < 0:
        raise BundleError(
            f"a sandboxed load{within} was killed by {signal.Signals(-ended.returncode).name}: make the network "
            "smaller, or give the server more memory."
        )
    if ended.returncode:
        raise OSError(
            f"a sandboxed load could not run: {ended.stderr.decode(errors='replace')[-_REASON_BYTES:].strip()}"
        )


def _run(directory: Path, digest: str, memory: int | None) -> subprocess.CompletedProcess[bytes]:
    """Run this module in a session of its own: Ctrl-C in a terminal is for the server, which ends its children."""
    return subprocess.run(
        [sys.executable, "-m", __name__, str(os.getpid()), str(directory), digest, str(memory or 0)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SANDBOX_SECONDS,
        start_new_session=True,
        check=False,
    )


def main(parent: str, directory: str, digest: str, memory: str) -> int:
    """Be that process: limit it, load the bundle, predict each row of its probe and all of them."""
    die_with(int(parent))
    _yield_to_those_who_serve()
    if int(memory):
        _limit_memory(int(memory))
    try:
        _, content = manifest.read_verified(Path(directory), digest)
        predictor = Predictor(Path(directory), "cpu", Parts.parse(Path(directory), content))
        rows = predictor.probe_rows()
        for part in (rows[:1], rows):
            predictor.run(predictor.encode(part))
    except (DamagedFile, OSError) as error:  # of this machine: the bundle was whole when this process began
        sys.stderr.write(str(error))
        return 1
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
        reason = str(error) if isinstance(error, BundleError) else f"{type(error).__name__}: {error}"
        sys.stdout.write(" ".join(reason.split())[:_REASON_BYTES])
        return _REFUSED
    return 0


def _yield_to_those_who_serve() -> None:
    """Be the first that the kernel ends where memory is short, and the last that it gives the processor to."""
    os.nice(10)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit_memory(extra: int) -> None:
    """Limit what the process allocates (RLIMIT_DATA: writable memory, not what is merely reserved or mapped)."""
    with contextlib.suppress(OSError, ValueError):
        own = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (own + extra, own + extra))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
