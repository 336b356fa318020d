"""Checks of one use case, in the order in which a client would notice a fault."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from typing import Any

from bentos.smoke.check import Check, retry_until, run_checks
from bentos.smoke.client import Client, Response
from bentos.smoke.expectations import Expected, Reference
from bentos.smoke.responses import Examples, Model, Predictions, distance, outputs
from slipway.contracts.schema import READABLE_CONTRACTS, Schema
from slipway.errors import ServiceError

TIMED = 50  # predictions whose median latency is checked
_ROWS = 8  # in a request, as many as the schema has examples
_INVALID_ROW = {"no_such_feature": 0}


class UseCaseChecks:
    """The checks, which `run` yields. Later ones use the model, schema and rows that earlier ones received."""

    def __init__(self, client: Client, name: str, expected: Expected, deadline: float) -> None:
        self._client = client
        self._deadline = deadline
        self._name = name
        self._expected = expected
        self._reference = expected.reference_of(name)
        self._path = f"/v1/models/{name}"
        self._model: Model
        self._schema: Schema
        self._examples: list[dict[str, Any]]

    def run(self) -> Iterator[Check]:
        steps = [
            ("schema", self._check_schema),
            ("model", self._check_model),
            ("version", self._check_version),
            ("predictions", self._check_predictions),
            ("access", self._check_access),
            ("wrong request", self._check_wrong_request),
            ("ids", self._check_ids),
            ("latency", self._check_latency),
        ]
        return run_checks(self._name, steps, required=2)

    def _check_schema(self) -> str:
        response = self._client.get(f"{self._path}/schema")
        self._schema = response.read(Schema)
        self._examples = response.read(Examples).examples
        if self._schema.contract not in READABLE_CONTRACTS:
            raise ServiceError(
                f"it is of contract version {self._schema.contract}; this release reads {list(READABLE_CONTRACTS)}: "
                "use the release of the server."
            )
        if not self._examples:
            raise ServiceError("it has no examples, so nothing can be predicted: train the model again.")
        return f"{self._schema.task}, {len(self._schema.inputs)} inputs, contract version {self._schema.contract}"

    def _check_model(self) -> str:
        self._model = self._client.get(self._path).read(Model)
        if not self._model.version:
            raise ServiceError("no version serves.")
        return f"version {self._model.version}, bundle {(self._model.digest or '')[:12]}"

    def _check_version(self) -> str:
        """Wait until every worker of the machine that answers serves the expected version."""
        return retry_until(self._deadline, self._compare_version)

    def _compare_version(self) -> str:
        self._check_model()
        model, expected = self._model, self._expected.version
        if expected is not None and model.version != expected:
            raise ServiceError(
                f"version {model.version} serves, {expected} is expected: promote it, or wait longer (--timeout)."
            )
        if self._reference and model.digest != self._reference.digest:
            raise ServiceError(
                f"the bundle {(model.digest or '')[:12]} serves, {self._reference.digest[:12]} is expected: "
                "promote its version, or wait longer (--timeout)."
            )
        if any((worker.version, worker.serving) != (model.version, model.digest) for worker in model.workers):
            versions = ", ".join(str(worker.version) for worker in model.workers)
            raise ServiceError(
                f"the workers have the versions {versions}: wait until the swap is done, or for a longer --timeout."
            )
        found = f"{model.version} in {len(model.workers)} workers" if model.workers else model.version or ""
        return found if expected or self._reference else f"{found}; no version was expected"

    def _check_predictions(self) -> str:
        rows = self._reference.rows if self._reference else self._examples
        found: list[tuple[str, list[float]]] = []
        size = max(1, min(_ROWS, int(self._model.serving.get("max_instances", _ROWS))))
        for start in range(0, len(rows), size):
            found += self._outputs(rows[start : start + size])
        if self._reference is None:
            return f"{len(found)} rows, well-formed; --bundle would compare them with the bundle's probe"
        return self._compare_outputs(found, self._reference)

    def _outputs(self, rows: list[dict[str, Any]]) -> list[tuple[str, list[float]]]:
        """Predict the rows, and return for each the version that predicted it, and its outputs."""
        content = self._predict(rows).read(Predictions)
        version = content.model.version
        if content.model.name != self._name or len(content.predictions) != len(rows):
            raise ServiceError(
                f"{len(rows)} rows were sent, {len(content.predictions)} of {content.model.name} were returned."
            )
        if version != self._model.version and not self._model.has_canary:
            raise ServiceError(
                f"version {version} answers, not {self._model.version}: a swap may be in progress. Try again."
            )
        return [(version, outputs(self._schema, prediction)) for prediction in content.predictions]

    def _compare_outputs(self, found: list[tuple[str, list[float]]], reference: Reference) -> str:
        """Compare the champion's outputs with the bundle's; a canary has its own."""
        pairs = zip(found, reference.outputs, strict=True)
        distances = [distance(row, expected) for (version, row), expected in pairs if version == self._model.version]
        if not distances:
            raise ServiceError("all rows went to the canary, so none was compared with the bundle: try again.")
        if max(distances) > 1:
            wrong = sum(one > 1 for one in distances)
            raise ServiceError(
                f"outputs of {wrong} of {len(distances)} rows differ up to {max(distances):.3g} times the tolerance: "
                "another model serves than the bundle's, or something in between changes the rows."
            )
        return f"{len(distances)} rows as in the bundle"

    def _check_access(self) -> str:
        response = self._client.post(f"{self._path}/predict", {"instances": self._examples[:1]}, with_key=False)
        if response.status != 200:
            response.problem(401)
            return "refused without a key"
        if self._client.on_loopback:
            return "open to everybody, on this machine alone"
        if self._expected.allow_open:
            return "open to everybody, as --allow-open allows"
        raise ServiceError(
            "everybody who reaches it may use it: make a key (`slipway keys create NAME`), or pass --allow-open."
        )

    def _check_wrong_request(self) -> str:
        problem = self._predict([_INVALID_ROW]).problem(422)
        if not (problem.place or "").startswith("instances[0]"):
            raise ServiceError(f"the error names the place {problem.place!r}, not one in instances[0].")
        return f"422, and names the place: {problem.place}"

    def _check_ids(self) -> str:
        good, wrong = self._predict(self._examples[:1]), self._predict([_INVALID_ROW])
        returned = good.read(Predictions).request_id
        if {returned, good.headers.get("x-request-id")} != {good.request_id}:
            raise ServiceError(
                f"X-Request-Id {good.request_id} came back as {returned}: have the proxy before the server pass it on."
            )
        if (found := wrong.problem(422).trace_id) != wrong.trace_id:
            raise ServiceError(
                f"the trace id {wrong.trace_id} came back as {found}: have the proxy before the server "
                "pass traceparent on."
            )
        return "request id and trace id come back as they were sent"

    def _check_latency(self) -> str:
        """Check the median seconds of single predictions, from sending a request to the last byte of its response."""
        before = self._client.connections
        rows = itertools.islice(itertools.cycle(self._examples), TIMED)
        responses = [self._predict([row]) for row in rows]
        for response in responses:
            response.read(Predictions)
        median = statistics.median(response.seconds for response in responses) * 1000
        limit = self._expected.max_median_ms
        result = f"median {median:.2f} ms of {TIMED} predictions"
        if limit is not None and median > limit:
            raise ServiceError(f"{result}; {limit:g} ms is allowed.")
        more = self._client.connections - before
        return (
            f"{result}, on {more + 1} connections: they are not kept open" if more else f"{result}, on one connection"
        )

    def _predict(self, rows: list[dict[str, Any]]) -> Response:
        return self._client.post(f"{self._path}/predict", {"instances": rows})
