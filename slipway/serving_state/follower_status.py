"""What the follower reports: the versions it refused, and its health warnings."""

from __future__ import annotations

from pathlib import Path

import msgspec

from slipway.system.files import read_struct, write_json


class Refusal(msgspec.Struct, frozen=True):
    """`serving/USECASE/refused.json`: a version that the follower did not let in, and why, by version."""

    version: str
    alias: str
    reason: str
    at: str


class HealthWarning(msgspec.Struct, frozen=True):
    """Something that is not as it should be, and since when."""

    message: str
    since: str


class FollowerStatus(msgspec.Struct, frozen=True):
    """`serving/USECASE/follower.json`: the follower's warnings by topic; the file's time is that of its last poll."""

    topics: dict[str, HealthWarning] = {}


def read_refusals(serving: Path, usecase: str) -> dict[str, Refusal]:
    return read_struct(serving / usecase / "refused.json", dict[str, Refusal]) or {}


def write_refusals(serving: Path, usecase: str, refusals: dict[str, Refusal]) -> None:
    write_json(serving / usecase / "refused.json", refusals)


def status_path(serving: Path, usecase: str) -> Path:
    return serving / usecase / "follower.json"


def read_status(serving: Path, usecase: str) -> FollowerStatus | None:
    """None where no follower ever looked."""
    return read_struct(status_path(serving, usecase), FollowerStatus)


def write_status(serving: Path, usecase: str, findings: FollowerStatus) -> None:
    write_json(status_path(serving, usecase), findings)
