"""What a file may hold in place of what was written there: by a bad disk, a killed process, or somebody's hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], object]
DAMAGES: dict[str, Damage] = {
    "not UTF-8": lambda path: path.write_bytes(b'{"generation": 1, "champion": "\xff", "topics": {"\xff": 1}}'),
    "a string that is not UTF-8": lambda path: path.write_bytes(b'"\xff"'),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(b"\0" * 4096),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1] if path.exists() else b'{"'),
    "a huge number": lambda path: path.write_bytes(b'{"generation": 1e999, "topics": 1e999, "pid": 1e999}'),
    "a number of many digits": lambda path: path.write_bytes(b"9" * 100_000),
    "deep nesting": lambda path: path.write_bytes(b'{"topics":' * 100_000),
    "deep nesting of an unknown key": lambda path: path.write_bytes(b'{"x":' + b"[" * 100_000),
    "another type": lambda path: path.write_bytes(b"[1, 2]"),
    "wrong types inside": lambda path: path.write_bytes(b'{"generation": "1", "topics": [], "1": 7, "pid": {}}'),
    "a file of gigabytes": lambda path: path.open("wb").truncate(1 << 32),
    "a folder": lambda path: (path.unlink(missing_ok=True), path.mkdir()),
    "a pipe": lambda path: (path.unlink(missing_ok=True), os.mkfifo(path)),
}
