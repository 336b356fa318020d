"""Threads share arenas: what many of them allocate and free comes from two arenas, not from one each."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Threads that hold an arena at the same time; malloc_info(3) lists the arenas
PROGRAM = """
import ctypes, sys, threading
from slipway.system.allocator import share_arenas
if sys.argv[1] == "shared":
    assert share_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
together = threading.Barrier(9)
def allocate():
    together.wait()
    libc.malloc(100_000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads: thread.start()
together.wait()
together.wait()
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""


def arenas(folder: Path, mode: str, **environment: str) -> int:
    found = folder / f"{mode}.xml"
    inherited = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    subprocess.run(
        [sys.executable, "-c", PROGRAM, mode, found], cwd=ROOT, env=inherited | environment, check=True, timeout=60
    )
    return found.read_text().count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")
def test_threads_share_two_arenas_unless_the_environment_says_otherwise(tmp_path):
    assert arenas(tmp_path, "default") > 2
    assert arenas(tmp_path, "shared") == 2
    assert arenas(tmp_path, "shared", MALLOC_ARENA_MAX="3") == 3
