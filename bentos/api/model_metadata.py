"""Model metadata: the model that serves a use case, its source, and the state of each worker."""

from __future__ import annotations

from typing import Any

import msgspec

from bentos.worker import ServedModel
from slipway.errors import BundleError
from slipway.serving_state import desired, follower_status, observed


def describe(served: ServedModel) -> bytes:
    """Return the body of `GET /v1/models/USECASE`; the states are of all workers on this machine."""
    live = served.manager.live
    folder = served.settings.serving
    content: dict[str, Any] = {
        "name": served.name,
        "version": live.version if live else None,
        "environment": served.settings.environment,
        "schema_url": f"/v1/models/{served.name}/schema",
        "pointer": _pointer(served),
        "workers": observed.read(folder, served.name),
        "refused": follower_status.read_refusals(folder, served.name),
    }
    if live is None:
        content["waits_for"] = served.waits_for
    else:
        content |= {
            "digest": live.digest,
            "role": "champion",
            "source": live.source,
            "device": live.device,
            "batching": live.batching,
            "task": live.schema.task,
            "synthetic": live.schema.synthetic,
            "metrics": live.scores,
            "gate": {"passed": live.verdict.passed, "gates": live.verdict.gates, "override": live.override},
            "facts": live.manifest.facts,
            "serving": live.serving,
        }
    return msgspec.json.encode(content)


def described_schema(served: ServedModel) -> bytes:
    """Return the body of `GET …/schema`: the schema of the bundle, with examples that can be sent as instances."""
    live = served.live
    return msgspec.json.encode(msgspec.to_builtins(live.schema) | {"examples": live.examples})


def _pointer(served: ServedModel) -> Any:
    try:
        return desired.read(served.settings.serving, served.name)
    except BundleError as error:
        return {"error": str(error)}
