"""What a server is told to serve (the pointer), and what its follower found: files by rename.

The follower writes `pointer.json`, `refused.json` and `follower.json` in `serving/USECASE`; bundles lie under their
digest in the store, complete or not at all. What workers do is in slipway.serving_state.observed.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from slipway.system.files import read_struct, write_json


class Canary(msgspec.Struct, frozen=True):
    digest: str
    weight: float


class DesiredState(msgspec.Struct, frozen=True):
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


def pointer_path(serving: Path, usecase: str) -> Path:
    return serving / usecase / "pointer.json"


def read(serving: Path, usecase: str) -> DesiredState | None:
    """None where nothing was ever pointed at; raises BundleError where the file is not a pointer."""
    return read_struct(pointer_path(serving, usecase), DesiredState)


def write(serving: Path, usecase: str, pointer: DesiredState) -> None:
    write_json(pointer_path(serving, usecase), pointer)


def stored_version(bundle: Path) -> StoredVersion | None:
    return read_struct(bundle / "version.json", StoredVersion)
