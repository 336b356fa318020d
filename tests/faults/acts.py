"""Acts of the processes under test: each is a command or a pass that ends, with nothing in memory before it.

Results of DuckDB on the prediction log are cached per query for all processes, which still access the object store.
"""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from monitoring.governance import registry_watcher
from monitoring.release import promotion, reconciler
from monitoring.release.server_status import ServerStatus
from monitoring.retraining import policy
from monitoring.rollout import rollback, stage
from monitoring.watch import Watcher
from slipway.serving_state.observed import RoleState
from slipway.settings import settings
from slipway.storage import object_store
from slipway.system.files import file_sha256
from tests.faults.workspace import NAME
from tests.support.server_views import digest, refused_by_workers, served


def _cached(real: Callable[..., Any]) -> Callable[..., Any]:
    """Cache the results of a query in a file; the access to the object store remains an effect."""

    def function(log: Any, *query: Any) -> Any:
        object_store(settings()).names("predictions")
        folder = settings().var.parent / "query_cache"
        cached = folder / hashlib.sha256(repr(query).encode()).hexdigest()
        if not cached.exists():
            folder.mkdir(exist_ok=True)
            cached.write_bytes(pickle.dumps(real(log, *query)))
        return pickle.loads(cached.read_bytes())

    return function


policy.count_new_labels = _cached(policy.count_new_labels)
stage.gather = _cached(stage.gather)


def request_retraining(reason: str = "drift") -> None:
    """Request a retraining, as `slipway monitor` does with its verdict and the webhook with an alert."""
    policy.request_retraining(NAME, reason, "monitor", {"drifted": ["age"]})


def register() -> None:
    """Run the last step of a training, which Prefect repeats after a failure."""
    import msgspec

    from pipelines.artifacts import Provenance, RunPaths
    from pipelines.artifacts.json_files import read_json
    from pipelines.steps.register import register as step
    from slipway.config import load

    root = settings().var / "runs" / "a"
    provenance = msgspec.convert(read_json(root / "provenance.json"), Provenance)
    with tempfile.TemporaryDirectory() as out:
        step(load(NAME), RunPaths.under(root), provenance, Path(out))


def watch(passes: int = 1) -> None:
    """Run so many passes of `slipway watch`."""
    watcher = Watcher([NAME], settings())
    for _ in range(passes):
        watcher.pass_once()


def watch_until_settled() -> None:
    """Run two passes of `slipway watch`, once changes by others in the registry have settled."""
    registry_watcher.SETTLE_SECONDS = 0.0
    watch(2)


def watch_with_server(role: str) -> None:
    """Run two passes of `slipway watch` with a server that serves version 1 and refuses version 2 in this role."""
    reconciler.SETTLE_SECONDS = 0.0
    if role == "champion":
        status = refused_by_workers("a", ["1", "1"], "2", "another schema.")
    else:
        status = served("a", ["1", "1"], **{role: RoleState(digest("2"), "2", "refused", "another schema.")})
    watcher = Watcher([NAME], settings())
    status = _of_registered(status)
    watcher._reconciler._poll = lambda *_: [status]
    watcher.pass_once()
    watcher.pass_once()


def _of_registered(status: ServerStatus) -> ServerStatus:
    """The status with the digests of the bundles that the workspace has registered as versions 1 and 2."""
    served, folder = status.served, settings().var.parent
    bundles = {"1": "bundle-True-0", "2": "bundle-True-0.1"}
    digests = {number: file_sha256(folder / name / "manifest.json") for number, name in bundles.items()}
    workers = tuple(
        msgspec.structs.replace(
            worker,
            serving=digests[worker.version],
            roles={
                name: msgspec.structs.replace(state, digest=digests[state.version])
                for name, state in worker.roles.items()
            },
        )
        for worker in served.workers
    )
    return ServerStatus(status.address, msgspec.structs.replace(served, workers=workers))


def promote(version: str, alias: str = "champion") -> None:
    """Run `slipway promote`."""
    promotion.promote(NAME, version, alias)


def roll_back() -> None:
    """Run `slipway rollback`."""
    rollback.roll_back(NAME, "it does harm")
