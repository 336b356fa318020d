"""What a server is told to serve (the pointer), and what its follower found: files by rename.

The follower writes `pointer.json`, `refused.json` and `follower.json` in `serving/USECASE`; bundles lie under their
digest in the store, complete or not at all. What workers do is in slipway.serving_state.observed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from slipway.errors import BundleError


class Canary(msgspec.Struct, frozen=True):
    digest: str
    weight: float


class Pointer(msgspec.Struct, frozen=True):
    """Digests by role; `generation` rises with every change."""

    generation: int
    champion: str | None = None
    canary: Canary | None = None
    shadow: str | None = None


class StoredVersion(msgspec.Struct, frozen=True):
    """`store/DIGEST/version.json`: which version of the registry the bundle is, as the follower fetched it."""

    name: str
    version: str
    digest: str
    run_id: str | None = None
    override: str | None = None


class RoleState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one role's digest in a worker: `outcome` is `serving`, `loading`, `refused` or `failed`."""

    digest: str
    version: str | None = None
    outcome: str = "serving"
    reason: str | None = None


class WorkerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """`generation` is the pointer's that the worker has acted on; `serving` answers, whatever `roles` asked for."""

    pid: int
    generation: int
    serving: str | None
    version: str | None
    device: str
    source: str
    since: str
    roles: dict[str, RoleState] = {}


class Refusal(msgspec.Struct, frozen=True):
    """`serving/USECASE/refused.json`: a version that the follower did not let in, and why, by version."""

    version: str
    alias: str
    reason: str
    at: str


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it should be, and since when."""

    message: str
    since: str


class Findings(msgspec.Struct, frozen=True):
    """`serving/USECASE/follower.json`: what the follower found, by topic; its file's time is that of its last look.

    `clock_offset` is how many seconds this machine's clock is ahead of the registry's; None where that is not known.
    """

    topics: dict[str, Finding] = {}
    clock_offset: float | None = None


def pointer_path(serving: Path, usecase: str) -> Path:
    return serving / usecase / "pointer.json"


def read(serving: Path, usecase: str) -> Pointer | None:
    """None where nothing was ever pointed at; raises BundleError where the file is not a pointer."""
    return _read(pointer_path(serving, usecase), Pointer)


def write(serving: Path, usecase: str, pointer: Pointer) -> None:
    write_whole(pointer_path(serving, usecase), pointer)


def read_refusals(serving: Path, usecase: str) -> dict[str, Refusal]:
    return _read(serving / usecase / "refused.json", dict[str, Refusal]) or {}


def write_refusals(serving: Path, usecase: str, refusals: dict[str, Refusal]) -> None:
    write_whole(serving / usecase / "refused.json", refusals)


def findings_path(serving: Path, usecase: str) -> Path:
    return serving / usecase / "follower.json"


def read_findings(serving: Path, usecase: str) -> Findings | None:
    """None where no follower ever looked."""
    return _read(findings_path(serving, usecase), Findings)


def write_findings(serving: Path, usecase: str, findings: Findings) -> None:
    write_whole(findings_path(serving, usecase), findings)


def stored_version(bundle: Path) -> StoredVersion | None:
    return _read(bundle / "version.json", StoredVersion)


def write_whole(path: Path, content: Any) -> None:
    """Write JSON that readers see whole or not at all, and that outlasts a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(content))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read(path: Path, kind: Any) -> Any:
    with contextlib.suppress(FileNotFoundError):
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except msgspec.DecodeError as error:
            raise BundleError(f"{path} is not what Slipway writes there ({error}): remove it.") from None
    return None
