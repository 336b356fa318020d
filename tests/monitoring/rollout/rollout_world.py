"""A simulated rollout: a registry in memory, a log of synthetic events, and a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from monitoring.rollout import RolloutController, RolloutView, state
from monitoring.rollout.state import RolloutState
from slipway import audit
from slipway.clients.mlflow.registry import ModelVersion
from slipway.contracts.events import encoder, feedback_event, prediction_event
from slipway.contracts.registry_names import BUNDLE_SHA256
from slipway.prediction_log import Log, Writer
from slipway.settings import Settings
from tests.support.doubles.registry_in_memory import RegistryInMemory

NAME = "made_up"
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAST = {"min_minutes": 0, "min_predictions": 50, "max_error_excess": 0.1, "max_slow_excess": 0.5}
Row = Callable[[int], dict]


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class World:
    """Version 1 is the champion, 2 a newer one. `predict` and `label` log; `once` is one pass of the watch."""

    def __init__(self, config: Settings, usecases: Path, **canary: object) -> None:
        self.config = config
        self.registry = RegistryInMemory(NAME, "1", "2", "3")
        self.registry.aliases = {"champion": "1"}
        self.now = BEGAN
        for version in ("1", "2", "3"):
            self.register(version, version * 64)
        self.requests = 0
        self._folder = usecases / NAME
        self.write(canary=canary)
        self.restart()

    def write(self, **more: object) -> None:
        """The use case's file."""
        content = {
            "name": NAME,
            "owner": "a@example.com",
            "task": "binary",
            "source": {"path": "data.csv"},
            "features": [
                {"name": "age", "kind": "number"},
                {"name": "housing", "kind": "category", "vocabulary": ["rent", "own"]},
            ],
            "target": {"name": "risk", "classes": ["good", "bad"], "positive": "bad"},
            "gates": {"slices": [{"feature": "age", "bins": [40]}, {"feature": "housing"}]},
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "usecase.yaml").write_text(yaml.safe_dump(content | more))

    def restart(self) -> None:
        """As after `kill -9` of the watch."""
        self.registry.writes_left = None
        self.rollouts = RolloutController(self.config, self.registry, Log(self.config), lambda: self.now)

    def once(self, minutes: float = 0.0) -> RolloutView:
        self.now += timedelta(minutes=minutes)
        self.rollouts.stages._next_poll.clear()
        return self.rollouts.once(NAME)

    def register(self, version: str, digest: str) -> None:
        """Register a version now; one that had the number before is gone, as after `delete` in MLflow."""
        created, tags = int(self.now.timestamp() * 1000), {BUNDLE_SHA256: digest}
        self.registry.found[version] = ModelVersion(NAME, version, f"run of {digest[:4]}", "", tags, created)

    def begin(self) -> RolloutView:
        self.registry.aliases["canary"] = "2"
        return self.once()

    def predict(
        self,
        role: str,
        n: int,
        *,
        fails: Callable[[int], bool] = lambda k: False,
        ms: Callable[[int], float] = lambda k: 1.0,
        score: Callable[[int], float] = lambda k: (k * 37 % 100) / 100,
        label: Callable[[int], str] = lambda k: "good",
        truth: Callable[[int], str | float | None] | None = None,
        row: Row = lambda k: {"age": 30, "housing": "rent"},
        value: Callable[[int], float] | None = None,
        batch: int = 1,
        caller: str | None = None,
        labeler: str | None = None,
    ) -> None:
        """Log `n` rows in requests of `batch`; a canary that fails leaves its row to the champion. Where `value` is
        given, it is the prediction of a regression, and `truth` the true value, which `labeler` sends."""
        lines, labels = [], []
        version = "2" if role == "canary" else "1"
        for k in range(n):
            self.requests += k % batch == 0
            name, failed = f"{self.requests:08d}-{k % batch}", fails(k)
            answer = {"label": label(k), "score": score(k)} if value is None else {"value": value(k)}
            lines.append(self._line(role, version, name, failed, ms(k), {} if failed else answer, row(k), caller))
            if failed and role == "canary":
                fallback = {"label": "good", "score": 0.99}
                lines.append(self._line("champion", "1", name, False, 100.0, fallback, row(k), caller))
            if truth is not None and (known := truth(k)) is not None:
                labels.append(self._label(name, known, labeler))
        self._write("prediction", lines)
        self._write("feedback", labels)

    @property
    def actions(self) -> list[str]:
        return [line.action for line in audit.lines(NAME, self.config)]

    @property
    def running(self) -> RolloutState | None:
        return state.read(self.registry.model(NAME))

    def refused(self, version: str = "2") -> str:
        return self.registry.found[version].tags.get("slipway.refused", "")

    def _line(
        self,
        role: str,
        version: str,
        row: str,
        failed: bool,
        ms: float,
        answer: dict,
        features: dict,
        caller: str | None = None,
    ) -> bytes:
        context = encoder.EventEncoder(
            environment=self.config.environment,
            usecase=NAME,
            version=version,
            bundle_sha256=self.registry.found[version].digest or "",
            role=role,
            answered=not failed,
            timestamp=iso(self.now),
            model_ms=ms,
            outcome="failure" if failed else "success",
            error_type="ModelError" if failed else None,
        )
        request = prediction_event.EventRequest("t" * 32, row.partition("-")[0], 1_000_000, caller)
        return context.encode_row(request, row, features, answer=answer)

    def _label(self, row: str, truth: str | float, labeler: str | None) -> bytes:
        target = "label" if isinstance(truth, str) else "value"
        sent = {"timestamp": iso(self.now), "known_at": iso(self.now), "row": row, target: truth, "caller": labeler}
        return feedback_event.feedback_line(
            environment=self.config.environment, usecase=NAME, trace_id="t" * 32, **sent
        )[1]

    def _write(self, stream: str, lines: list[bytes]) -> None:
        if lines:
            writer = Writer(self.config.spool, NAME, stream)
            assert writer.write(b"".join(lines))
            writer.close()
