"""How the C library gives memory to the threads of a process."""

from __future__ import annotations

import ctypes
import os

_ARENAS, _M_ARENA_MAX = 2, -8  # of malloc.h
_VARIABLE = "MALLOC_ARENA_MAX"


def share_arenas() -> bool:
    """Let all threads of the process allocate from two arenas, unless MALLOC_ARENA_MAX says otherwise.

    By default glibc makes up to eight arenas for each core. Each keeps what its threads once needed, so the memory of a
    process with a few threads grows for hours. To be called before there are threads. Returns whether the C library has
    this setting: mallopt(3).
    """
    if _VARIABLE in os.environ:
        return True
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS))
    except (AttributeError, OSError):  # another C library than glibc
        return False
