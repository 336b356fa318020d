"""What the processes of the tests do: each is a command or a pass that ends, with nothing in memory before it.

What DuckDB finds in the prediction log is found once for each question, and remembered for the processes that ask the
same: they still ask the log's place whether it is there.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from typing import Any

from monitoring import promote as promotion
from monitoring import retrain, rollback
from monitoring.rollout import rollouts
from monitoring.watch import Watcher
from slipway.prediction_log import place
from slipway.settings import settings
from tests.loop.home import NAME


def _remembered(real: Callable[..., Any]) -> Callable[..., Any]:
    def function(log: Any, *question: Any) -> Any:
        place(settings()).names("predictions")
        folder = settings().var.parent / "remembered"
        answer = folder / hashlib.sha256(repr(question).encode()).hexdigest()
        if not answer.exists():
            folder.mkdir(exist_ok=True)
            answer.write_bytes(pickle.dumps(real(log, *question)))
        return pickle.loads(answer.read_bytes())

    return function


retrain.new_labels = _remembered(retrain.new_labels)
rollouts.gather = _remembered(rollouts.gather)


def ask(reason: str = "drift") -> None:
    """What `slipway monitor` does with its verdict, and the webhook with an alert."""
    retrain.ask(NAME, reason, "monitor", {"drifted": ["age"]})


def look() -> None:
    """A `slipway watch` that takes one pass."""
    Watcher([NAME], settings()).pass_once()


def look_twice() -> None:
    """One that takes two."""
    watcher = Watcher([NAME], settings())
    watcher.pass_once()
    watcher.pass_once()


def promote(version: str, alias: str = "champion") -> None:
    promotion.promote(NAME, version, alias)


def roll_back() -> None:
    rollback.roll_back(NAME, "it does harm")
