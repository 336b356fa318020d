"""The real server, as the tests of the prediction service start it."""

from tests.bentos.conftest import serve

__all__ = ["serve"]
