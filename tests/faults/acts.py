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

from monitoring.governance import registry_watcher
from monitoring.release import promotion, reconciler
from monitoring.retraining import policy
from monitoring.rollout import controller, rollback
from monitoring.watch import Watcher
from slipway.serving_state.observed import RoleState
from slipway.settings import settings
from slipway.storage import object_store
from tests.faults.home import NAME
from tests.support.server_views import digest, refused_by_workers, served


def _remembered(real: Callable[..., Any]) -> Callable[..., Any]:
    def function(log: Any, *question: Any) -> Any:
        object_store(settings()).names("predictions")
        folder = settings().var.parent / "remembered"
        answer = folder / hashlib.sha256(repr(question).encode()).hexdigest()
        if not answer.exists():
            folder.mkdir(exist_ok=True)
            answer.write_bytes(pickle.dumps(real(log, *question)))
        return pickle.loads(answer.read_bytes())

    return function


policy.new_labels = _remembered(policy.new_labels)
controller.gather = _remembered(controller.gather)


def ask(reason: str = "drift") -> None:
    """What `slipway monitor` does with its verdict, and the webhook with an alert."""
    policy.request_retraining(NAME, reason, "monitor", {"drifted": ["age"]})


def register() -> None:
    """The last step of a training; Prefect tries it again, and so does the same command."""
    import msgspec

    from pipelines.artifacts import Provenance, RunPaths
    from pipelines.artifacts.json_files import read_json
    from pipelines.steps.register import register as step
    from slipway.config import load

    root = settings().var / "runs" / "a"
    provenance = msgspec.convert(read_json(root / "provenance.json"), Provenance)
    with tempfile.TemporaryDirectory() as out:
        step(load(NAME), RunPaths.under(root), provenance, Path(out))


def look(passes: int = 1) -> None:
    """A `slipway watch` that takes so many passes."""
    watcher = Watcher([NAME], settings())
    for _ in range(passes):
        watcher.pass_once()


def look_later() -> None:
    """One that takes two, once what others did in the registry has settled."""
    registry_watcher.SETTLE_SECONDS = 0.0
    look(2)


def look_at_servers(role: str) -> None:
    """One that takes two beside a server that answers with version 1, and refuses version 2 in this role."""
    reconciler.SETTLE_SECONDS = 0.0
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
