"""Diagnosis: what was checked, its state and, unless that is ok, a fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Diagnosis:
    """The result of a check: `error` if something will fail, `warning` if it may; both have a `fix`."""

    check: str
    state: State
    detail: str
    fix: str = ""


def ok(check: str, detail: str) -> Diagnosis:
    """Report that a check passed."""
    return Diagnosis(check, "ok", detail)


def warning(check: str, detail: str, fix: str) -> Diagnosis:
    """Report something that may fail."""
    return Diagnosis(check, "warning", detail, fix)


def error(check: str, detail: str, fix: str) -> Diagnosis:
    """Report something that will fail."""
    return Diagnosis(check, "error", detail, fix)
