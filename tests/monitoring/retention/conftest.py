"""A prediction log of its own for each test."""

from tests.support.prediction_log.log_fixtures import config, log, write

__all__ = ["config", "log", "write"]
