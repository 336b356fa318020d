"""What the processes of the tests do: each is a command or a pass that ends, with nothing in memory before it."""

from __future__ import annotations

from monitoring import promote as promotion
from monitoring import retrain
from monitoring.watch import Watcher
from slipway.settings import settings
from tests.loop.home import NAME


def ask(reason: str = "drift") -> None:
    """What `slipway monitor` does with its verdict, and the webhook with an alert."""
    retrain.ask(NAME, reason, "monitor", {"drifted": ["age"]})


def look() -> None:
    """A `slipway watch` that takes one pass."""
    Watcher([NAME], settings()).pass_once()


def promote(version: str, alias: str = "champion", override: str | None = None) -> None:
    promotion.promote(NAME, version, alias, override)


def nothing() -> None:
    pass
