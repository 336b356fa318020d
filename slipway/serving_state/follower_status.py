"""Status of the follower: the versions that it refused, and its health warnings."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from slipway.system.files import read_struct, write_json

_AHEAD_SECONDS = 5.0  # by which a time of the file system may be ahead of this clock


class Refusal(msgspec.Struct, frozen=True):
    """A version that the follower refused, and why; `serving/USECASE/refused.json` holds them by version.

    `digest` is its bundle's, empty where the version has none: another version may get its number.
    """

    version: str
    alias: str
    reason: str
    at: str
    digest: str = ""


class HealthWarning(msgspec.Struct, frozen=True):
    """A problem of the follower, and since when it has it."""

    message: str
    since: str


class FollowerStatus(msgspec.Struct, frozen=True):
    """The follower's warnings by topic: `serving/USECASE/follower.json`, whose file time is that of the last poll.

    `pid` is its process; 0 in a file of an earlier release.
    """

    topics: dict[str, HealthWarning] = {}
    pid: int = 0


def read_refusals(serving: Path, usecase: str) -> dict[str, Refusal]:
    """Read the refused versions."""
    return read_struct(serving / usecase / "refused.json", dict[str, Refusal]) or {}


def write_refusals(serving: Path, usecase: str, refusals: dict[str, Refusal]) -> None:
    """Write the refused versions."""
    write_json(serving / usecase / "refused.json", refusals)


def status_path(serving: Path, usecase: str) -> Path:
    """Name the status file."""
    return serving / usecase / "follower.json"


def age_seconds(serving: Path, usecase: str) -> float:
    """Return the time since the follower's last poll; negative if the clock was set back since then.

    Raises:
        OSError: there is no status file.
    """
    return time.time() - status_path(serving, usecase).stat().st_mtime


def is_stale(age: float, most_seconds: float) -> bool:
    """Whether a poll is too long ago, or of a time to come: a follower that still polls would have a later one."""
    return not -_AHEAD_SECONDS <= age <= most_seconds


def describe_silence(age: float) -> str:
    """Say since when there has been no poll, for a sentence."""
    return f"for {age:.0f} s" if age >= 0 else f"since the clock was set back (the last poll is {-age:.0f} s ahead)"


def read_status(serving: Path, usecase: str) -> FollowerStatus | None:
    """Read the follower's status; None if no follower ever polled."""
    return read_struct(status_path(serving, usecase), FollowerStatus)


def write_status(serving: Path, usecase: str, status: FollowerStatus) -> None:
    """Write the follower's status."""
    write_json(status_path(serving, usecase), status)
