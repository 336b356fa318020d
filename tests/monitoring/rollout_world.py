"""A made-up rollout: a registry in memory, a log of made-up predictions and labels, and a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from monitoring.rollout import Rollouts, View
from slipway import audit, events
from slipway.prediction_log import Log, Writer
from slipway.settings import Settings
from tests.monitoring.registry_in_memory import RegistryInMemory

NAME = "made_up"
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
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
        self.rows = 0
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
        self.rollouts = Rollouts(self.config, self.registry, Log(self.config), lambda: self.now)

    def once(self, minutes: float = 0.0) -> View:
        self.now += timedelta(minutes=minutes)
        self.rollouts._look_at.clear()
        return self.rollouts.once(NAME)

    def begin(self) -> View:
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
        truth: Callable[[int], str] | None = None,
        row: Row = lambda k: {"age": 30, "housing": "rent"},
        version: str = "",
    ) -> list[str]:
        """Log `n` requests of one row; a canary that fails leaves its row to the champion. The rows' ids."""
        lines, labels, rows = [], [], []
        version = version or ("2" if role == "canary" else "1")
        for k in range(n):
            self.rows += 1
            rows.append(f"{self.rows:08d}-0")
            failed = fails(k)
            answer = {} if failed else {"label": label(k), "score": score(k)}
            lines.append(self._line(role, version, rows[-1], failed, ms(k), answer, row(k)))
            if failed and role == "canary":
                lines.append(self._line("champion", "1", rows[-1], False, ms(k), {"label": "good"}, row(k)))
            if truth is not None:
                labels.append(self._label(rows[-1], truth(k)))
        self._write("prediction", lines)
        self._write("feedback", labels)
        return rows

    @property
    def actions(self) -> list[str]:
        return [line.action for line in audit.lines(NAME, self.config)]

    def refused(self, version: str = "2") -> str:
        return self.registry.found[version].tags.get("slipway.refused", "")

    def _line(self, role: str, version: str, row: str, failed: bool, ms: float, answer: dict, features: dict) -> bytes:
        context = events.PredictionContext(
            environment=self.config.environment,
            usecase=NAME,
            version=version,
            bundle_sha256="b" * 64,
            role=role,
            answered=not failed,
            trace_id="t" * 32,
            request_id=row.removesuffix("-0"),
            timestamp=iso(self.now),
            duration_ns=1_000_000,
            model_ms=ms,
            outcome="failure" if failed else "success",
            error_type="ModelError" if failed else None,
        )
        return context.line(row, features, answer=answer)

    def _label(self, row: str, truth: str) -> bytes:
        sent = {"timestamp": iso(self.now), "known_at": iso(self.now), "row": row, "label": truth}
        return events.feedback_line(environment=self.config.environment, usecase=NAME, trace_id="t" * 32, **sent)[1]

    def _write(self, stream: str, lines: list[bytes]) -> None:
        if lines:
            writer = Writer(self.config.spool, NAME, stream)
            assert writer.write(b"".join(lines))
            writer.close()
