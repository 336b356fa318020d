"""Machine of the GPU benchmark: its GPUs, by NVIDIA's own tool, and its processor."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

_QUERY = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]


def gpus() -> list[str]:
    """List the GPUs with their memory and driver; none without a driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        done = subprocess.run([tool, *_QUERY], capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def describe(gpus: list[str]) -> str:
    """Describe the machine in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    cores = len(os.sched_getaffinity(0))
    return f"{'; '.join(gpus) or 'no GPU'}; {processor}, {cores} cores; Python {platform.python_version()}"
