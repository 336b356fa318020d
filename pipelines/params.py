"""What `params` in usecase.yaml, and `--set KEY=VALUE`, may set: how to train, and the default network's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import UseCaseError, suggestion
from slipway.usecase import UseCase, load


class _Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fitting(_Params):
    """How any network is trained."""

    epochs: int = Field(100, ge=1, description="Most passes over the training rows.")
    patience: int = Field(16, ge=1, description="Passes without a better validation error after which to stop.")
    batch_size: int = Field(0, ge=0, description="Rows per step; 0: by the number of rows, 32 to 512.")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's learning rate.")
    weight_decay: float = Field(0.05, ge=0, description="AdamW's weight decay.")


class Network(_Params):
    """The default network's size; the defaults did well on a dozen public tables without a search."""

    members: int = Field(8, ge=1, description="Independent networks whose mean is the model.")
    layers: int = Field(2, ge=1, description="Hidden layers of a member.")
    width: int = Field(128, ge=1, description="Units of a hidden layer.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of hidden units that a training step leaves out.")
    bins: int = Field(32, ge=1, description="Most pieces of a number's range; small tables have fewer.")
    frequencies: int = Field(16, ge=1, description="Waves of a number.")
    sigma: float = Field(2.0, gt=0, description="Spread of the waves' initial frequencies.")
    number_width: int = Field(12, ge=1, description="Values that stand for a number.")
    unknown_rate: float = Field(0.02, ge=0, lt=1, description="Share of categories made unknown in training.")
    filters: int = Field(
        32, ge=1, description="Filters of an image's first block; each further block has twice as many."
    )


@dataclass(frozen=True)
class Params:
    """`network` goes to `build(inputs, params)` as it is."""

    fitting: Fitting
    network: dict[str, Any]

    def as_used(self, batch_size: int) -> dict[str, Any]:
        """All of them, for the records, with the batch size that was found where it was left open."""
        return {**self.fitting.model_dump(), **self.network, "batch_size": batch_size}


def resolve(usecase: UseCase) -> Params:
    """The use case's parameters over the defaults, each of them known and of its type.

    The network of a `model.py` defines its own: what usecase.yaml names under `params`, `--set` may change.

    Raises:
        UseCaseError: a parameter is unknown, or its value is not allowed.
    """
    fitting = {name: value for name, value in usecase.params.items() if name in Fitting.model_fields}
    network = {name: value for name, value in usecase.params.items() if name not in fitting}
    checked = _checked(Fitting, fitting, usecase)
    if not (usecase.folder / "model.py").exists():
        _refuse_unknown(network, set(Network.model_fields), usecase)
        return Params(checked, _checked(Network, network, usecase).model_dump())
    _refuse_unknown(network, set(load(usecase.name).params), usecase)
    return Params(checked, network)


def _refuse_unknown(network: dict[str, Any], known: set[str], usecase: UseCase) -> None:
    allowed = sorted(known | set(Fitting.model_fields))
    for name in network:
        if name not in known:
            raise UseCaseError(
                f"{usecase.name} has no parameter {name!r}.{suggestion(name, allowed)} There are: {', '.join(allowed)}."
            )


def _checked(kind: type[_Params], values: dict[str, Any], usecase: UseCase) -> Any:
    try:
        return kind(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UseCaseError(
            f"{usecase.name}: params.{problem['loc'][0]} is {problem['input']!r}: {problem['msg']}."
        ) from None
