"""A use case: what `usecases/NAME/usecase.yaml` says, checked, and the functions in the folder beside it."""

from slipway.usecase.case import NAME, UseCase
from slipway.usecase.inputs import Inputs
from slipway.usecase.loading import load, names
from slipway.usecase.sections import Canary, Cost, Csv, Feature, Monitoring, Reason, Serving, Slice, Source

__all__ = [
    "NAME",
    "Canary",
    "Cost",
    "Csv",
    "Feature",
    "Inputs",
    "Monitoring",
    "Reason",
    "Serving",
    "Slice",
    "Source",
    "UseCase",
    "load",
    "names",
]
