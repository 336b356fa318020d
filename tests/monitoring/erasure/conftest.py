"""A prediction log of its own for each test, in an environment without a registry."""

from tests.support.prediction_log.without_registry import config, log, write

__all__ = ["config", "log", "write"]
