"""The checks of one use case, in the order in which a client would notice."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from typing import Any

from bentos.smoke.check import Check, in_turn, until
from bentos.smoke.client import Answer, Client
from bentos.smoke.expectations import Expected, Reference
from bentos.smoke.responses import Examples, Model, Predictions, distance, outputs
from slipway.contracts.schema import READABLE_CONTRACTS, Schema
from slipway.errors import ServiceError

TIMED = 50  # predictions whose median counts
_ROWS = 8  # in a request, as many as the schema has examples
_WRONG = {"no_such_feature": 0}


class UseCaseChecks:
    """`run()` yields them; what one learns (model, schema, rows) the next ones use."""

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
        return in_turn(self._name, steps, needed=2)

    def _check_schema(self) -> str:
        answer = self._client.get(f"{self._path}/schema")
        self._schema = answer.read(Schema)
        self._examples = answer.read(Examples).examples
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
        """The one that is expected, in every worker of the machine that answers: a swap may take its time."""
        return until(self._deadline, self._version)

    def _version(self) -> str:
        self._check_model()
        model, wanted = self._model, self._expected.version
        if wanted is not None and model.version != wanted:
            raise ServiceError(
                f"version {model.version} serves, {wanted} is expected: promote it, or wait longer (--timeout)."
            )
        if self._reference and model.digest != self._reference.digest:
            raise ServiceError(
                f"the bundle {(model.digest or '')[:12]} serves, {self._reference.digest[:12]} is expected: "
                "promote its version, or wait longer (--timeout)."
            )
        if any((worker.version, worker.serving) != (model.version, model.digest) for worker in model.workers):
            told = ", ".join(str(worker.version) for worker in model.workers)
            raise ServiceError(
                f"the workers have the versions {told}: wait until the swap is done, or for a longer --timeout."
            )
        same = f"{model.version} in {len(model.workers)} workers"
        return same if wanted or self._reference else f"{same}; none was expected"

    def _check_predictions(self) -> str:
        rows = self._reference.rows if self._reference else self._examples
        found: list[tuple[str, list[float]]] = []
        size = max(1, min(_ROWS, int(self._model.serving.get("max_instances", _ROWS))))
        for start in range(0, len(rows), size):
            found += self._outputs(rows[start : start + size])
        if self._reference is None:
            return f"{len(found)} rows, well-formed; --bundle would compare them with what the model must answer"
        return self._compared(found, self._reference)

    def _outputs(self, rows: list[dict[str, Any]]) -> list[tuple[str, list[float]]]:
        """Of each row the version that answered, and its outputs."""
        answered = self._predict(rows).read(Predictions)
        version = answered.model.version
        if answered.model.name != self._name or len(answered.predictions) != len(rows):
            raise ServiceError(
                f"{len(rows)} rows were sent, {len(answered.predictions)} of {answered.model.name} came."
            )
        if version != self._model.version and not self._model.has_canary:
            raise ServiceError(
                f"version {version} answers, not {self._model.version}: is a swap on its way? Ask again."
            )
        return [(version, outputs(self._schema, prediction)) for prediction in answered.predictions]

    def _compared(self, found: list[tuple[str, list[float]]], reference: Reference) -> str:
        """A canary's answers are its own: only the champion's must be the bundle's."""
        pairs = zip(found, reference.outputs, strict=True)
        distances = [distance(row, wanted) for (version, row), wanted in pairs if version == self._model.version]
        if not distances:
            raise ServiceError("all rows went to the canary, so none was compared with the bundle: ask again.")
        if max(distances) > 1:
            wrong = sum(one > 1 for one in distances)
            raise ServiceError(
                f"{wrong} of {len(distances)} rows come out {max(distances):.3g} times as far off as is allowed: "
                "another model serves than the bundle's, or its rows are changed on the way."
            )
        return f"{len(distances)} rows as the bundle says"

    def _check_access(self) -> str:
        answer = self._client.post(f"{self._path}/predict", {"instances": self._examples[:1]}, with_key=False)
        if answer.status != 200:
            answer.problem(401)
            return "refused without a key"
        if self._client.on_loopback:
            return "open to everybody, on this machine alone"
        if self._expected.allow_open:
            return "open to everybody, as --allow-open allows"
        raise ServiceError(
            "everybody who reaches it may use it: make a key (`slipway keys create NAME`), or say --allow-open."
        )

    def _check_wrong_request(self) -> str:
        problem = self._predict([_WRONG]).problem(422)
        if not (problem.place or "").startswith("instances[0]"):
            raise ServiceError(f"the refusal names the place {problem.place!r}, not one in instances[0].")
        return f"422, and says where: {problem.place}"

    def _check_ids(self) -> str:
        good, wrong = self._predict(self._examples[:1]), self._predict([_WRONG])
        told = good.read(Predictions).request_id
        if {told, good.headers.get("X-Request-Id")} != {good.request_id}:
            raise ServiceError(
                f"X-Request-Id {good.request_id} came back as {told}: let what is in front of the server pass it on."
            )
        if (found := wrong.problem(422).trace_id) != wrong.trace_id:
            raise ServiceError(
                f"the trace id {wrong.trace_id} came back as {found}: let what is in front of the server pass "
                "traceparent on."
            )
        return "request id and trace id come back as they were sent"

    def _check_latency(self) -> str:
        """Milliseconds from the first byte sent to the last received, one prediction after the other."""
        before = self._client.connections
        rows = itertools.islice(itertools.cycle(self._examples), TIMED)
        answers = [self._predict([row]) for row in rows]
        for answer in answers:
            answer.read(Predictions)
        median = statistics.median(answer.seconds for answer in answers) * 1000
        most = self._expected.max_median_ms
        seen = f"median {median:.2f} ms of {TIMED} predictions"
        if most is not None and median > most:
            raise ServiceError(f"{seen}; {most:g} ms is allowed.")
        more = self._client.connections - before
        return f"{seen}, on {more + 1} connections: they are not kept" if more else f"{seen}, on one connection"

    def _predict(self, rows: list[dict[str, Any]]) -> Answer:
        return self._client.post(f"{self._path}/predict", {"instances": rows})
