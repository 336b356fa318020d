"""Numbers of `usecase.yaml`: finite, and not `yes` or `no`, which Python takes for 1 and 0."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

NUMBER_NEEDED = "number_needed"


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError(NUMBER_NEEDED, "a number is needed")
    return value


Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_no_truth_value)]
Whole = Annotated[int, BeforeValidator(_no_truth_value)]
