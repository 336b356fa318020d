"""What the watch process makes of a hint: it reads the registry itself, for that model only, soon and not too often."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from monitoring import watch
from monitoring.governance.artifact_check import ArtifactCheck
from monitoring.governance.registry_watcher import SETTLE_SECONDS, RegistryWatcher
from slipway import audit
from slipway.settings import settings
from tests.support.doubles.registry_in_memory import RegistryInMemory
from tests.support.waiting import until


class Recorded(watch.Watcher):
    """A watch loop of two use cases whose steps are recorded; looks at `broken` fail."""

    def __init__(self) -> None:
        super().__init__(["loans", "cars"], settings())
        self.steps: list[str] = []
        self.broken: set[str] = set()

    def pass_once(self) -> None:
        self._current = frozenset(self._names)
        self._hinted.clear()
        self.steps.append("pass")

    def look(self, usecase: str) -> None:
        self.steps.append(usecase)
        if usecase in self.broken:
            raise RuntimeError("the registry is strange")


@pytest.fixture
def watcher(var, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    monkeypatch.setattr(watch, "PASS_SECONDS", 60.0)
    monkeypatch.setattr(watch, "HINT_SECONDS", 0.05)
    found = Recorded()
    found._thread.start()
    until(lambda: found.steps == ["pass"])
    yield found
    found.stop()
    assert not found._thread.is_alive()


def test_a_hint_has_one_model_looked_at_before_the_next_pass(watcher: Recorded) -> None:
    assert watcher.hint("cars")
    until(lambda: watcher.steps == ["pass", "cars"])
    assert watcher.hint("loans")
    until(lambda: watcher.steps == ["pass", "cars", "loans"])


@pytest.mark.parametrize("name", ["", "boats", "../loans", "loans\n", "Loans", "x" * 1000])
def test_a_model_that_is_not_watched_is_neither_looked_at_nor_remembered(watcher: Recorded, name: str) -> None:
    assert not watcher.hint(name)
    assert (watcher._hinted, watcher.steps) == (set(), ["pass"])


def test_many_hints_are_few_looks(watcher: Recorded) -> None:
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        assert watcher.hint("loans")
    assert 2 <= watcher.steps.count("loans") <= 8
    assert watcher.steps.count("cars") == 0


def test_a_look_that_fails_ends_neither_the_loop_nor_the_next_look(watcher: Recorded) -> None:
    watcher.broken = {"loans"}
    watcher.hint("loans")
    until(lambda: "loans" in watcher.steps)
    watcher.hint("cars")
    until(lambda: "cars" in watcher.steps)
    assert watcher.is_alive


def test_hints_without_end_delay_no_pass(var, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "HINT_SECONDS", 0.01)
    watcher = Recorded()
    watcher.pass_once()
    monkeypatch.setattr(watcher, "look", watcher.hint)
    watcher.hint("loans")
    started = time.monotonic()
    watcher._wait_for_hints(started + 0.1)
    assert time.monotonic() - started < 1


class Model:
    """A model of two versions in memory, and the part of the watch process that notices changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ArtifactCheck, "check_next", lambda *_: None)
        self.now = 0.0
        self.registry = RegistryInMemory("loans", "1", "2")
        self.changes = RegistryWatcher(settings(), self.registry, lambda: self.now)
        self.move("1")

    def move(self, version: str) -> None:
        self.registry.aliases["champion"] = version

    def look(self) -> None:
        self.changes.once("loans")

    def targets(self) -> list[str | None]:
        """The versions that champion moved to, after what was noticed has settled."""
        self.now += SETTLE_SECONDS
        self.look()
        lines = audit.lines("loans")
        assert {line.who for line in lines} <= {"not known: this MLflow has no login"}
        assert not any("login" in line.evidence for line in lines)
        return [line.evidence["to"] for line in lines]


@pytest.fixture
def model(var, monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model(monkeypatch)
    found.look()
    return found


def test_a_hint_without_a_move_in_the_registry_writes_nothing(model: Model) -> None:
    model.look()
    assert model.targets() == []


def test_a_move_to_and_fro_between_two_passes_is_seen_where_a_hint_comes(model: Model) -> None:
    model.move("2")
    model.move("1")
    assert model.targets() == []
    model.move("2")
    model.look()
    model.move("1")
    model.look()
    assert model.targets() == ["2", "1"]


def test_a_repeated_hint_writes_nothing_twice(model: Model) -> None:
    model.move("2")
    for _ in range(5):
        model.look()
    assert model.targets() == ["2"]
    assert model.targets() == ["2"]
