"""A prediction log of its own for each test."""

from tests.support.log_fixtures import home, log, write

__all__ = ["home", "log", "write"]
