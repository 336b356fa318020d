"""Several threads that read JSON of a type for the first time: each first use is in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
import msgspec
from slipway.clients.http import decode
from monitoring.log_shipping import bulk

class Part(msgspec.Struct):
    number: int = 0

class Whole(msgspec.Struct):
    parts: list[Part]

sys.setswitchinterval(1e-6)
together = threading.Barrier(8)

def read():
    together.wait()
    for _ in range(50):
        {read}

threads = [threading.Thread(target=read) for _ in range(8)]
for each in threads:
    each.start()
for each in threads:
    each.join()
"""
BULK = 'msgspec.convert({"items": [{"create": {"_id": "a", "status": 201}}]}, bulk._Response)'
HTTP = """decode(b'{"parts": [{"number": 1}]}', Whole)"""


@pytest.mark.slow
@pytest.mark.parametrize("read", [BULK, HTTP], ids=["a bulk's response", "a client's response"])
def test_threads_that_read_a_type_first_at_the_same_time_do_not_end_the_process(read):
    for _ in range(3):  # without the preparation, two of three such processes end in a segmentation fault
        subprocess.run([sys.executable, "-c", PROGRAM.replace("{read}", read)], check=True, timeout=60)
