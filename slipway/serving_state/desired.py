"""Desired state of the servers: `serving/USECASE/pointer.json` names the bundles that workers are to serve.

The follower writes it; bundles are in the store under their digest, complete or not at all. What workers do is in
slipway.serving_state.observed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from slipway.system.files import read_struct, write_json

SALT = r"^[0-9a-f]{0,64}$"  # the key of a blake2b hash has 64 bytes at most


class Canary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A canary's digest, and the percent of requests that it answers.

    `salt` decides which units are among them. No response shows it.
    """

    digest: str
    weight: float
    salt: Annotated[str, msgspec.Meta(pattern=SALT)] = ""


class DesiredState(msgspec.Struct, frozen=True):
    """The pointer: digests by role; `generation` rises with every change."""

    generation: int
    champion: str | None = None
    canary: Canary | None = None
    shadow: str | None = None


class StoredVersion(msgspec.Struct, frozen=True):
    """The registry's version of a stored bundle, when the follower fetched it: `store/DIGEST/version.json`."""

    name: str
    version: str
    digest: str
    run_id: str | None = None
    override: str | None = None


def pointer_path(serving: Path, usecase: str) -> Path:
    """Name the pointer's file."""
    return serving / usecase / "pointer.json"


def read(serving: Path, usecase: str) -> DesiredState | None:
    """Read the pointer; None if there is none yet. Raises DamagedFile if the file is not a pointer."""
    return read_struct(pointer_path(serving, usecase), DesiredState)


def write(serving: Path, usecase: str, pointer: DesiredState) -> None:
    """Write the pointer atomically."""
    write_json(pointer_path(serving, usecase), pointer)


def stored_version(bundle: Path) -> StoredVersion | None:
    """Read which version a stored bundle is; None if it is not known. Raises DamagedFile if the file says nothing."""
    return read_struct(bundle / "version.json", StoredVersion)
