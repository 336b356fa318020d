"""Clients: each call of ours to a server, with a response that it takes.

Of a changed response, what a client reads is of the type that it promises, so that nothing behind it meets what no
server sends; the rest it refuses with one short error.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from joserfc.jwk import ECKey

from benchmarks.fuzz.server import TABLE
from bentos.auth.jwks import Jwks
from bentos.smoke import client as smoke
from bentos.smoke.responses import Examples, Model, Models, Predictions
from monitoring.labels import upload
from monitoring.release.server_status import server_status
from scenarios.traffic import pacing
from slipway.clients.github import GitHubClient
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.clients.prefect import Deployment, PrefectClient
from slipway.clients.service import ServiceClient
from slipway.errors import BundleError, RegistryError, ServiceError

MOST_CHARACTERS = 800  # of an error
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
THIRD = ModelVersion("loans", "3", "r1", "s")
TAGS = [{"key": "slipway.bundle_sha256", "value": "a" * 64}]
MODEL = {"name": "loans", "aliases": [{"alias": "champion", "version": "3"}], "tags": TAGS}
VERSION = {"name": "loans", "version": "3", "run_id": "r1", "source": "s", "tags": TAGS, "creation_timestamp": 1}
RUN = {
    "info": {"run_id": "r1", "experiment_id": "0", "artifact_uri": "mlflow-artifacts:/0/r1/artifacts"},
    "data": {"tags": TAGS},
}
STATE = {"type": "PENDING", "timestamp": "2026-01-01T00:00:00Z", "message": "it waits"}
FLOW_RUN = {
    "id": "r1",
    "total_run_time": 1.5,
    "created": "2026-01-01T00:00:00Z",
    "tags": ["drift"],
    "parameters": {"usecase": "loans"},
    "state": STATE,
}
WORKFLOW_RUN = {
    "id": 7,
    "display_title": "train loans (drift) 0123456789abcdef",
    "created_at": "2026-01-01T00:00:00Z",
    "status": "queued",
    "conclusion": None,
}
TASK = {"name": "train-0", "total_run_time": 2.0, "state_type": "RUNNING"}
WORKER = {
    "pid": 7,
    "generation": 1,
    "serving": "a" * 64,
    "version": "3",
    "device": "cpu",
    "source": "pointer",
    "since": "2026-01-01T00:00:00Z",
    "roles": {"champion": {"digest": "a" * 64, "version": "3", "outcome": "refused", "reason": "slow"}},
}
SERVED = {
    "name": "loans",
    "version": "3",
    "digest": "a" * 64,
    "source": "pointer",
    "device": "cpu",
    "synthetic": True,
    "gate": {"passed": False, "override": "ann: why"},
    "workers": [WORKER],
    "refused": {"4": {"version": "4", "alias": "canary", "reason": "no", "at": "2026-01-01T00:00:00Z"}},
}
PREDICTIONS = {
    "model": {"name": "loans", "version": "3"},
    "request_id": "q",
    "predictions": [{"id": "1", "label": "bad", "score": 0.5, "probabilities": {"bad": 0.5, "good": 0.5}}],
}


_KEY = ECKey.generate_key("P-256", {"kid": "first", "use": "sig"})


class Read(NamedTuple):
    """A client's call, and a response that it takes."""

    call: Callable[[str], Any]
    document: Any


def _smoke(kind: type) -> Callable[[str], Any]:
    return lambda url: smoke.Client(url, {}).get("/").read(kind)


def _status(url: str) -> Any:
    status = server_status(url, "loans")
    if status.served is None:
        raise ServiceError(status.error)
    return status


def _jwks(url: str) -> Any:
    keys = Jwks(f"{url}/jwks.json", 60)
    keys._read()
    keys.close()
    if keys.problem:
        raise ServiceError(keys.problem)
    return list(keys.keys)


def _github(url: str) -> GitHubClient:
    return GitHubClient("example/slipway", "a token", url)


def _paced(url: str) -> Any:
    outcome = pacing._request(ServiceClient(url), "/", 0, {})
    if outcome.reason:
        raise ServiceError(outcome.reason)
    return outcome


READS = {
    "a model": Read(lambda url: Registry(url).model("loans"), {"registered_model": MODEL}),
    "models": Read(lambda url: Registry(url).models(), {"registered_models": [MODEL], "next_page_token": ""}),
    "a version": Read(lambda url: Registry(url).version("loans", "3"), {"model_version": VERSION}),
    "versions": Read(lambda url: Registry(url).versions("loans"), {"model_versions": [VERSION], "next_page_token": ""}),
    "a run": Read(lambda url: Registry(url).run("r1"), {"run": RUN}),
    "runs": Read(lambda url: Registry(url).runs("0"), {"runs": [RUN], "next_page_token": ""}),
    "a new run": Read(lambda url: Registry(url).create_run("0", "audit"), {"run": RUN}),
    "an experiment": Read(lambda url: Registry(url).experiment("audit"), {"experiment": {"experiment_id": "0"}}),
    "a new experiment": Read(lambda url: Registry(url).create_experiment("audit"), {"experiment_id": "0"}),
    "artifacts": Read(lambda url: Registry(url).artifacts("r1", "x"), {"files": [{"path": "x/y", "is_dir": False}]}),
    "a source": Read(
        lambda url: Registry(url)._artifact_path(Registry(url)._source(THIRD)),
        {"artifact_uri": "mlflow-artifacts:/0/r1/artifacts"},
    ),
    "a change": Read(lambda url: Registry(url).set_alias("loans", "champion", "3"), {}),
    "a deployment": Read(
        lambda url: PrefectClient(url)._call(Deployment, "GET", "deployments/name/train"),
        {"id": "d1", "parameters": {"a": 1}},
    ),
    "a flow run": Read(lambda url: PrefectClient(url).flow_run("r1"), FLOW_RUN),
    "a flow run by its key": Read(lambda url: PrefectClient(url).with_key("k"), [FLOW_RUN]),
    "flow runs under way": Read(lambda url: PrefectClient(url).under_way("train", "loans"), [FLOW_RUN]),
    "flow runs since then": Read(lambda url: PrefectClient(url).begun("train", "loans", SINCE), [FLOW_RUN]),
    "tasks": Read(lambda url: list(PrefectClient(url).tasks("r1")), [TASK]),
    "a workflow's run": Read(lambda url: _github(url).flow_run("7"), WORKFLOW_RUN),
    "a workflow's runs": Read(lambda url: _github(url).under_way("train", "loans"), {"workflow_runs": [WORKFLOW_RUN]}),
    "a server's state": Read(_status, SERVED),
    "a server's schema": Read(lambda url: upload.served_schema(TABLE.usecase, url), msgspec.to_builtins(TABLE)),
    "a prediction": Read(_paced, PREDICTIONS),
    "the smoke test's model": Read(_smoke(Model), {"name": "loans", "version": "3", "workers": [{"version": "3"}]}),
    "the smoke test's models": Read(_smoke(Models), {"models": [{"name": "loans", "ready": True}]}),
    "the smoke test's examples": Read(_smoke(Examples), {"examples": [{"age": 3}]}),
    "the smoke test's predictions": Read(_smoke(Predictions), PREDICTIONS),
    "public keys": Read(_jwks, {"keys": [_KEY.as_dict(private=False)]}),
}


def is_read(read: Read, url: str) -> bool:
    """Call the client, and tell whether it read the response; False where it refused it by one short error of ours.

    Raises:
        AssertionError: what was read is not of its type, or the error is long; any other error is a fault as well.
    """
    try:
        _check(read.call(url))
    except (RegistryError, ServiceError, BundleError) as error:
        assert len(str(error)) < MOST_CHARACTERS and str(error).isprintable(), f"the error is {str(error)[:1000]!r}"
        return False
    return True


def _check(found: Any) -> None:
    """Check that what was read can be written again: as text, as JSON, as a time."""
    if found is not None and not isinstance(found, (list, str, tuple)):
        found = dataclasses.asdict(found) if dataclasses.is_dataclass(found) else msgspec.to_builtins(found)
    msgspec.json.encode(found)
    assert all(math.isfinite(value) for value in _numbers(found)), f"a number is not finite: {found!r}"


def _numbers(found: Any) -> Iterator[float]:
    if isinstance(found, dict | list | tuple):
        for value in found.values() if isinstance(found, dict) else found:
            yield from _numbers(value)
    elif isinstance(found, float):
        yield found
