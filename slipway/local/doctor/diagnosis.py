"""A finding: what was looked at, how it is, and, where it is not well, what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Diagnosis:
    """`state` is `error` where something will fail, `warning` where it may; both come with a `fix`."""

    check: str
    state: State
    detail: str
    fix: str = ""


def ok(check: str, detail: str) -> Diagnosis:
    return Diagnosis(check, "ok", detail)


def warning(check: str, detail: str, fix: str) -> Diagnosis:
    return Diagnosis(check, "warning", detail, fix)


def error(check: str, detail: str, fix: str) -> Diagnosis:
    return Diagnosis(check, "error", detail, fix)
