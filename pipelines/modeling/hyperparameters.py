"""Hyperparameters that `params` in usecase.yaml and `--set KEY=VALUE` may set: of the training and of the network."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.config import UseCase, load
from slipway.config.numbers import Number, Whole
from slipway.errors import UseCaseError, suggestion

_STEPS = 25  # of an epoch
_FEW = 1000
_NUMBER_WITHOUT_POINT = re.compile(r"[-+]?\d+[eE][-+]?\d+")  # text in YAML 1.1, a number in YAML 1.2


class _Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fitting(_Params):
    """Hyperparameters of the training of any network."""

    epochs: Whole = Field(100, ge=1, description="Most passes over the training rows.")
    patience: Whole = Field(16, ge=1, description="Passes without a better validation error after which to stop.")
    batch_size: Whole = Field(0, ge=0, description="Rows per step; 0: by the number of rows, 32 to 512.")
    learning_rate: Number = Field(1e-3, gt=0, description="AdamW's learning rate.")
    weight_decay: Number = Field(0.05, ge=0, description="AdamW's weight decay.")


class Network(_Params):
    """Size of the default network. A value of 0 is chosen by the number of rows: small tables need small networks."""

    members: Whole = Field(8, ge=1, description="Independent networks whose mean is the model.")
    layers: Whole = Field(0, ge=0, description="Hidden layers of a member; 0: by the rows, 1 below a thousand, else 2.")
    width: Whole = Field(0, ge=0, description="Units of a hidden layer; 0: by the rows, 64 to 256.")
    dropout: Number = Field(0.3, ge=0, lt=1, description="Share of hidden units that a training step leaves out.")
    bins: Whole = Field(32, ge=1, description="Most pieces of a number's range; small tables have fewer.")
    frequencies: Whole = Field(16, ge=1, description="Waves of a number.")
    sigma: Number = Field(0.0, ge=0, description="Spread of the waves' frequencies; 0: by the rows, 0.5 to 2.")
    number_width: Whole = Field(12, ge=1, description="Values that stand for a number.")
    unknown_rate: Number = Field(0.02, ge=0, lt=1, description="Share of categories made unknown in training.")
    filters: Whole = Field(
        32, ge=1, description="Filters of an image's first block; each further block has twice as many."
    )


@dataclass(frozen=True)
class Params:
    """Hyperparameters; `network` goes to `build(inputs, params)`: those of the default network, or a dictionary."""

    fitting: Fitting
    network: Network | dict[str, Any]

    def sized(self, rows: int) -> Params:
        """Choose all values that depend on the number of training rows."""
        root = math.sqrt(rows)
        fitting = _filled(self.fitting, batch_size=_power_of_two(rows / _STEPS, 32, 512))
        if not isinstance(self.network, Network):
            return Params(fitting, self.network)
        # On some hundreds of noisy rows deep and wide networks with fast waves fit the noise:
        # docs/explanation/default-network.md.
        layers, sigma = 1 if rows < _FEW else 2, min(2.0, max(0.5, root / 50))
        return Params(
            fitting, _filled(self.network, layers=layers, width=_power_of_two(2.5 * root, 64, 256), sigma=sigma)
        )

    def for_network(self) -> dict[str, Any]:
        """Return the hyperparameters of the network by name."""
        return self.network.model_dump() if isinstance(self.network, Network) else self.network

    def record(self) -> dict[str, Any]:
        """Return all hyperparameters by name."""
        return {**self.fitting.model_dump(), **self.for_network()}


def resolve(usecase: UseCase) -> Params:
    """Return the use case's hyperparameters over the defaults, checked.

    A network in `model.py` has its own: `--set` may change those that usecase.yaml names under `params`.

    Raises:
        UseCaseError: a parameter is unknown, or its value is not allowed.
    """
    fitting = {name: value for name, value in usecase.params.items() if name in Fitting.model_fields}
    network = {name: value for name, value in usecase.params.items() if name not in fitting}
    checked = _checked(Fitting, fitting, usecase)
    if not (usecase.folder / "model.py").exists():
        _refuse_unknown(network, set(Network.model_fields), usecase)
        return Params(checked, _checked(Network, network, usecase))
    _refuse_unknown(network, set(load(usecase.name).params), usecase)
    return Params(checked, {name: _as_number(value) for name, value in network.items()})


def _filled(params: _Params, **chosen: Any) -> Any:
    """Return the parameters with values for those that are 0."""
    return params.model_copy(update={name: value for name, value in chosen.items() if not getattr(params, name)})


def _as_number(value: Any) -> Any:
    """Return `1e-3` as the number that is meant; the default network's fields do so by their type."""
    return float(value) if isinstance(value, str) and _NUMBER_WITHOUT_POINT.fullmatch(value) else value


def _power_of_two(value: float, least: int, most: int) -> int:
    return int(min(most, max(least, 2 ** round(math.log2(value)))))


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
        reason = problem["msg"].removeprefix("Value error, ")
        raise UseCaseError(f"{usecase.name}: params.{problem['loc'][0]} is {problem['input']!r}: {reason}.") from None
