"""Model metadata: the model that serves a use case, its source, and the state of each worker.

Clients that may not see details get what they need to use the model. The state of this machine, who overrode a gate,
and why something is refused is for operators.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from bentos.models import LoadedModel
from bentos.models.batch_size import BatchSize
from bentos.worker import ServedModel
from slipway.contracts.bundle.gate_report import Gate
from slipway.errors import DamagedFile
from slipway.serving_state import desired, follower_status, observed
from slipway.serving_state.desired import DesiredState
from slipway.serving_state.follower_status import Refusal
from slipway.serving_state.observed import WorkerState

_TASK = msgspec.Meta(extra_json_schema={"enum": ["binary", "multiclass", "regression"]})
_WAITS_FOR = msgspec.Meta(description="What there is instead of a model yet")


class UnreadablePointer(msgspec.Struct):
    """Why the pointer cannot be read."""

    error: str


class GateSummary(msgspec.Struct):
    """The gates of the model, and who overrode them, and why."""

    passed: bool
    gates: tuple[Gate, ...]
    override: str | None


class ModelMetadata(msgspec.Struct):
    """A use case and its workers; what describes the model is absent until there is one.

    Without the scope `read`, `pointer` is null, `workers` and `refused` are empty, and `facts` is absent.
    """

    name: str
    version: str | None
    environment: str
    schema_url: str
    pointer: Any  # DesiredState, UnreadablePointer or None: msgspec takes no union of structs without tags
    workers: list[WorkerState]
    refused: dict[str, Refusal]
    digest: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    source: str | UnsetType = UNSET
    device: str | UnsetType = UNSET
    batching: BatchSize | UnsetType = UNSET
    task: Annotated[str, _TASK] | UnsetType = UNSET
    synthetic: bool | UnsetType = UNSET
    metrics: dict[str, Any] | UnsetType = UNSET
    gate: GateSummary | UnsetType = UNSET
    facts: dict[str, Any] | UnsetType = UNSET
    serving: dict[str, Any] | UnsetType = UNSET
    waits_for: Annotated[str, _WAITS_FOR] | UnsetType = UNSET


class ModelSummary(msgspec.Struct):
    """A use case, and whether it has a model."""

    name: str
    version: str | None
    ready: bool
    url: str


class ModelList(msgspec.Struct):
    """The use cases that are served."""

    models: list[ModelSummary]


def describe(served: ServedModel, details: bool, prefix: str = "") -> bytes:
    """Return the body of `GET /v1/models/USECASE`; the states are of all workers on this machine.

    `prefix` is the path under which the client sees the service.
    """
    live = served.manager.live
    folder = served.settings.serving
    if live is not None:
        model = _describe_model(live, details)
    else:
        model = {"waits_for": served.waits_for if details else "a version that can be served."}
    return msgspec.json.encode(
        ModelMetadata(
            name=served.name,
            version=live.version if live else None,
            environment=served.settings.environment,
            schema_url=f"{prefix}/v1/models/{served.name}/schema",
            pointer=_pointer(served) if details else None,
            workers=observed.read(folder, served.name) if details else [],
            refused=_refused(served) if details else {},
            **model,
        )
    )


def list_models(served: Iterable[ServedModel], prefix: str = "") -> bytes:
    """Return the body of `GET /v1/models`, for a client that sees the service under the path `prefix`."""
    return msgspec.json.encode(ModelList([_summarize(each, prefix) for each in served]))


def described_schema(served: ServedModel) -> bytes:
    """Return the body of `GET …/schema`: the schema of the bundle, with examples that can be sent as instances."""
    live = served.live
    return msgspec.json.encode(msgspec.to_builtins(live.schema) | {"examples": live.examples})


def _describe_model(live: LoadedModel, details: bool) -> dict[str, Any]:
    return {
        "digest": live.digest,
        "role": "champion",
        "source": live.source,
        "device": live.device,
        "batching": live.batching,
        "task": live.schema.task,
        "synthetic": live.schema.synthetic,
        "metrics": live.scores,
        "gate": GateSummary(live.verdict.passed, live.verdict.gates, live.override if details else None),
        "facts": live.manifest.facts if details else UNSET,
        "serving": live.serving,
    }


def _summarize(served: ServedModel, prefix: str) -> ModelSummary:
    live = served.manager.live
    url = f"{prefix}/v1/models/{served.name}"
    return ModelSummary(served.name, live.version if live else None, live is not None, url)


def _refused(served: ServedModel) -> dict[str, Refusal]:
    """The versions that the follower refused; none where its file is damaged, which readiness warns of."""
    with contextlib.suppress(DamagedFile):
        return follower_status.read_refusals(served.settings.serving, served.name)
    return {}


def _pointer(served: ServedModel) -> DesiredState | UnreadablePointer | None:
    """The desired state without the canary's salt, by which callers could choose who answers them."""
    try:
        found = desired.read(served.settings.serving, served.name)
    except DamagedFile as error:
        return UnreadablePointer(str(error))
    if found is None or found.canary is None:
        return found
    return msgspec.structs.replace(found, canary=msgspec.structs.replace(found.canary, salt=""))
