"""Networks: the default one for tables and images, and that of a use case's `model.py`."""

from pipelines.modeling.networks.network import ROWS_AT_ONCE, build, calibrated, load, predict, trainable

__all__ = ["ROWS_AT_ONCE", "build", "calibrated", "load", "predict", "trainable"]
