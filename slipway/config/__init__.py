"""A use case: the checked `usecases/NAME/usecase.yaml`, and the functions in its folder."""

from slipway.config.loading import decoder, load, names
from slipway.config.sections import Canary, Cost, Csv, Feature, Monitoring, Reason, Serving, Slice, Source
from slipway.config.use_case import NAME, UseCase

__all__ = [
    "NAME",
    "Canary",
    "Cost",
    "Csv",
    "Feature",
    "Monitoring",
    "Reason",
    "Serving",
    "Slice",
    "Source",
    "UseCase",
    "decoder",
    "load",
    "names",
]
