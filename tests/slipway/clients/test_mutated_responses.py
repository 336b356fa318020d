"""Each field of each response that a client reads, changed in each way: it is read, or refused with one error of ours.

What a client does read is then of the type that it promises, so that nothing behind it meets what no server sends.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from bentos.auth.jwks import Jwks
from bentos.launcher import launcher
from bentos.smoke import client as smoke
from bentos.smoke.responses import Examples, Model, Models, Predictions
from monitoring.labels import upload
from monitoring.release.server_status import server_status
from scenarios.traffic import pacing
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.clients.prefect import PrefectClient, _Deployment
from slipway.clients.service import ServiceClient
from slipway.errors import BundleError, RegistryError, ServiceError, SlipwayError
from slipway.settings import settings
from tests.bentos.auth.issuers import new_key
from tests.slipway.clients.mutations import answer_all, mutations
from tests.support import bundles

URL = "http://127.0.0.1:9"
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


class Read(NamedTuple):
    """A client's call, and a response that it takes."""

    call: Callable[[Path], Any]
    document: Any


def registry() -> Registry:
    return Registry(URL)


def prefect() -> PrefectClient:
    return PrefectClient(URL)


def _smoke(kind: type) -> Callable[[Path], Any]:
    return lambda _: smoke.Client(URL, {}).get("/").read(kind)


def _status(_: Path) -> Any:
    status = server_status(URL, "loans")
    if status.served is None:
        raise ServiceError(status.error)
    return status


def _jwks(_: Path) -> Any:
    keys = Jwks(f"{URL}/jwks.json", 60)
    keys._read()
    keys.close()
    if keys.problem:
        raise ServiceError(keys.problem)
    return list(keys.keys)


def _paced(_: Path) -> Any:
    outcome = pacing._request(ServiceClient(URL), "/", 0, {})
    if outcome.reason:
        raise ServiceError(outcome.reason)
    return outcome


READS = {
    "a model": Read(lambda _: registry().model("loans"), {"registered_model": MODEL}),
    "models": Read(lambda _: registry().models(), {"registered_models": [MODEL], "next_page_token": ""}),
    "a version": Read(lambda _: registry().version("loans", "3"), {"model_version": VERSION}),
    "versions": Read(lambda _: registry().versions("loans"), {"model_versions": [VERSION], "next_page_token": ""}),
    "a run": Read(lambda _: registry().run("r1"), {"run": RUN}),
    "runs": Read(lambda _: registry().runs("0"), {"runs": [RUN], "next_page_token": ""}),
    "a new run": Read(lambda _: registry().create_run("0", "audit"), {"run": RUN}),
    "an experiment": Read(lambda _: registry().experiment("audit"), {"experiment": {"experiment_id": "0"}}),
    "a new experiment": Read(lambda _: registry().create_experiment("audit"), {"experiment_id": "0"}),
    "artifacts": Read(lambda _: registry().artifacts("r1", "x"), {"files": [{"path": "x/y", "is_dir": False}]}),
    "a source": Read(
        lambda _: registry()._artifact_path(registry()._source(THIRD)),
        {"artifact_uri": "mlflow-artifacts:/0/r1/artifacts"},
    ),
    "a change": Read(lambda _: registry().set_alias("loans", "champion", "3"), {}),
    "a deployment": Read(
        lambda _: prefect()._call(_Deployment, "GET", "deployments/name/train"), {"id": "d1", "parameters": {"a": 1}}
    ),
    "a flow run": Read(lambda _: prefect().flow_run("r1"), FLOW_RUN),
    "a flow run by its key": Read(lambda _: prefect().with_key("k"), [FLOW_RUN]),
    "flow runs under way": Read(lambda _: prefect().under_way("train", "loans"), [FLOW_RUN]),
    "flow runs since then": Read(lambda _: prefect().begun("train", "loans", SINCE), [FLOW_RUN]),
    "tasks": Read(lambda _: list(prefect().tasks("r1")), [TASK]),
    "a server's state": Read(_status, SERVED),
    "a server's schema": Read(lambda _: upload.served_schema("loans", URL), msgspec.to_builtins(bundles.TABULAR)),
    "a prediction": Read(_paced, PREDICTIONS),
    "the smoke test's model": Read(_smoke(Model), {"name": "loans", "version": "3", "workers": [{"version": "3"}]}),
    "the smoke test's models": Read(_smoke(Models), {"models": [{"name": "loans", "ready": True}]}),
    "the smoke test's examples": Read(_smoke(Examples), {"examples": [{"age": 3}]}),
    "the smoke test's predictions": Read(_smoke(Predictions), PREDICTIONS),
    "public keys": Read(_jwks, {"keys": [new_key("first").as_dict(private=False)]}),
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    monkeypatch.setattr("slipway.clients.mlflow.rest._MAX_PAGES", 3)
    return answer_all(monkeypatch)


def read_or_refused(read: Read, folder: Path) -> bool:
    """Call the client, and tell whether it read the response; any error but ours fails the test."""
    try:
        check(read.call(folder))
    except (RegistryError, ServiceError, BundleError) as error:
        assert len(str(error)) < 800 and str(error).isprintable(), str(error)[:1000]
        return False
    return True


def check(found: Any) -> None:
    """Check that what was read can be written again: as text, as JSON, as a time."""
    if found is not None and not isinstance(found, (list, str, tuple)):
        found = dataclasses.asdict(found) if dataclasses.is_dataclass(found) else msgspec.to_builtins(found)
    msgspec.json.encode(found)
    for value in _numbers(found):
        assert math.isfinite(value)


def _numbers(found: Any) -> Iterator[float]:
    if isinstance(found, dict):
        for value in found.values():
            yield from _numbers(value)
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _numbers(value)
    elif isinstance(found, float):
        yield found


@pytest.mark.parametrize("name", READS)
def test_the_response_of_a_server_is_read(name, answers, tmp_path):
    answers(json.dumps(READS[name].document).encode())
    assert read_or_refused(READS[name], tmp_path)


@pytest.mark.parametrize("name", READS)
def test_each_field_changed_in_each_way_is_read_or_refused(name, answers, tmp_path):
    for content in mutations(READS[name].document):
        answers(content)
        read_or_refused(READS[name], tmp_path)


@pytest.mark.parametrize("name", READS)
def test_what_is_no_document_is_refused(name, answers, tmp_path):
    for content in (b"", b"\xef\xbb\xbf{}", b"\x00" * 1000, b"<html>", b"{" * 100_000, b"null", b"7"):
        answers(content)
        assert not read_or_refused(READS[name], tmp_path), content[:20]


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"waits_for": 7}', b'{"detail": ["a"]}', b"\xff", b"[" * 100_000])
def test_the_launcher_says_so_where_the_service_answers_something_else(content, answers, tmp_path):
    answers(content)
    with pytest.raises((ServiceError, LookupError, TypeError, ValueError)):
        launcher.announce(settings(), ["loans"], lambda _: None)
    assert issubclass(ServiceError, SlipwayError)
