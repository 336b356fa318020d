"""Checks of the machine: Python, disk, memory and ports."""

from __future__ import annotations

import locale
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from slipway.local import PORTS, running_stack
from slipway.local.doctor.diagnosis import Diagnosis, error, ok, warning
from slipway.settings import Settings
from slipway.system.memory import available_bytes
from slipway.system.ports import is_free

GB = 1e9
DISK_NEEDED, DISK_WANTED = 0.5, 2.0
MEMORY_WANTED = 3.5
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph")


def python() -> Diagnosis:
    """Check the version of Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return ok("Python", f"{version} in {sys.prefix}")
    return error("Python", f"{version}; 3.11 is needed", "make clean; make demo PYTHON=/path/to/python3.11")


def disk(settings: Settings) -> Diagnosis:
    """Check the free space where the state folder is or will be."""
    folder = settings.var.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GB
    detail = f"{free:.1f} GB free in {folder}"
    if free < DISK_NEEDED:
        return error(
            "disk", detail, f"free at least {DISK_WANTED:.0f} GB, or set SLIPWAY_VAR to a folder on another disk"
        )
    if free < DISK_WANTED:
        return warning("disk", detail, f"a demo needs about {DISK_WANTED:.0f} GB")
    if not os.access(folder, os.W_OK):
        return error("disk", f"{folder} cannot be written to", "set SLIPWAY_VAR to a folder of your own")
    return ok("disk", detail)


def file_system(settings: Settings, mounts: Path = Path("/proc/self/mounts")) -> Diagnosis:
    """Check that the state folder is on a disk of this machine: SQLite and locks cannot rely on a network's."""
    folder = settings.var.resolve()
    kind = _kind_of_mount(folder, mounts.read_text() if mounts.exists() else "")
    if kind in _NETWORK:
        fix = "set SLIPWAY_VAR to a folder on a disk of this machine"
        return warning("disk", f"{folder} is on a network file system ({kind}), whose locks may fail", fix)
    return ok("disk", f"{folder} is on {kind or 'a file system that is not known'}")


def _kind_of_mount(folder: Path, mounts: str) -> str:
    """Find the file system of the mount that is nearest above a folder, in lines as of `/proc/mounts`."""
    found = {}
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split()
        found[Path(place.replace("\\040", " "))] = kind
    return next((found[path] for path in (folder, *folder.parents) if path in found), "")


def text_encoding() -> Diagnosis:
    """Check that text is UTF-8, which files of use cases and terminals are taken for."""
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") == "utf8":
        return ok("locale", f"text is {encoding}")
    return warning("locale", f"text is {encoding}, not UTF-8", "set LANG=C.UTF-8, or PYTHONUTF8=1")


def temporary_files() -> Diagnosis:
    """Check the free space for temporary files, such as bundles that are being verified."""
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError:  # no folder can be written to
        return error("disk", "no folder takes temporary files: all are full or read-only", "free some, or set TMPDIR")
    free = shutil.disk_usage(folder).free / GB
    detail = f"{free:.1f} GB free for temporary files in {folder}"
    if free < DISK_NEEDED:
        return warning("disk", detail, "free some space there, or set TMPDIR to a folder on another disk")
    return ok("disk", detail)


def memory() -> Diagnosis:
    """Check the memory that new processes may take: of the machine, and of the container or group that this runs in."""
    found = available_bytes()
    if found is None:
        return ok("memory", "not known on this system")
    available = found / GB
    if available < MEMORY_WANTED:
        return warning(
            "memory",
            f"{available:.1f} GB available",
            f"end other programs, or raise the container's limit: a demo uses up to {MEMORY_WANTED:.1f} GB",
        )
    return ok("memory", f"{available:.1f} GB available")


def ports(settings: Settings) -> Iterator[Diagnosis]:
    """Check that the ports of the local services are free, or the running stack's own."""
    stack = running_stack(settings.var.resolve())
    ours = stack.ports if stack else ()
    for name in PORTS:
        port = getattr(settings, f"{name}_port")
        if port in ours:
            yield ok("ports", f"{port} ({name}) is the running stack's")
        elif is_free(port):
            yield ok("ports", f"{port} ({name}) is free")
        else:
            fix = f"nothing, or set SLIPWAY_{name.upper()}_PORT: `demo` and `up` take the next free port and print it"
            yield warning("ports", f"{port} ({name}) is taken by another program", fix)
