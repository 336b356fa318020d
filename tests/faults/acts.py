"""What the processes of the tests do: each is a command or a pass that ends, with nothing in memory before it.

What DuckDB finds in the prediction log is found once for each question, and remembered for the processes that ask the
same: they still ask the log's place whether it is there.
"""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitoring import changes, reconcile, retrain, rollback
from monitoring import promote as promotion
from monitoring.rollout import rollouts
from monitoring.watch import Watcher
from slipway.pointer import RoleState
from slipway.prediction_log import place
from slipway.settings import settings
from tests.loop.home import NAME
from tests.monitoring.looks import digest, refused_by_workers, served


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


def register() -> None:
    """The last step of a training; Prefect tries it again, and so does the same command."""
    from pipelines.files import read_json
    from pipelines.register import register as step
    from pipelines.runs import RunPaths
    from slipway.usecase import load

    root = settings().var / "runs" / "a"
    with tempfile.TemporaryDirectory() as out:
        step(load(NAME), RunPaths.under(root), read_json(root / "facts.json"), Path(out))


def look(passes: int = 1) -> None:
    """A `slipway watch` that takes so many passes."""
    watcher = Watcher([NAME], settings())
    for _ in range(passes):
        watcher.pass_once()


def look_later() -> None:
    """One that takes two, once what others did in the registry has settled."""
    changes.SETTLE_SECONDS = 0.0
    look(2)


def look_at_servers(role: str) -> None:
    """One that takes two beside a server that answers with version 1, and refuses version 2 in this role."""
    reconcile.SETTLE_SECONDS = 0.0
    if role == "champion":
        look = refused_by_workers("a", ["1", "1"], "2", "another schema.")
    else:
        look = served("a", ["1", "1"], **{role: RoleState(digest("2"), "2", "refused", "another schema.")})
    watcher = Watcher([NAME], settings())
    watcher._reconciler._look_at_all = lambda *_: [look]
    watcher.pass_once()
    watcher.pass_once()


def promote(version: str, alias: str = "champion") -> None:
    promotion.promote(NAME, version, alias)


def roll_back() -> None:
    rollback.roll_back(NAME, "it does harm")
