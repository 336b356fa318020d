"""Numbers of `usecase.yaml`: finite, and not `yes` or `no`, which Python takes for 1 and 0."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

NUMBER_NEEDED = "a number is needed"


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(NUMBER_NEEDED)
    return value


Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_no_truth_value)]
Whole = Annotated[int, BeforeValidator(_no_truth_value)]
