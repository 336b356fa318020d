"""Cleaning of applications: drops those that were never finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep applications for some amount and some time: a form that was never finished has 0 there."""
    return frame[(frame["amount"] > 0) & (frame["duration"] > 0)]
