"""A faulty canary or shadow in the real server under load, without effect on callers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.serving_state.desired import Canary
from tests.bentos.server.processes import Load, Server, logged, percentile
from tests.support import bundles

pytestmark = pytest.mark.alone  # beside other tests, requests are refused that would be late

ROW = bundles.ROWS["loans"][0]
FAULTY = {**ROW, "age": 99.0}  # what the faulty networks fail for
DEADLINE = 0.3  # seconds
CHAMPION_SLOW = 8
BUSY_MACHINE = 1.0  # seconds: what other tests on the same cores may add
SERVING = {"deadline_ms": int(1000 * DEADLINE), "swap_ratio": 1e6}


class Stage:
    """A server with two workers, whose champion is version 1, and bundles for its candidates."""

    def __init__(self, server: Server, champion: str, folder: Path) -> None:
        self.server, self.champion = server, champion
        self._folder = folder

    def put(self, version: str, **options: object) -> str:
        folder = self._folder / f"v{version}"
        digest = bundles.write(folder, bias=int(version) / 10, serving=SERVING, **options)
        bundles.put_in_store(self.server.var, folder, version)
        return digest

    def point(self, canary: str | None = None, shadow: str | None = None) -> None:
        """Send all to the canary, a copy to the shadow, and wait until every worker has followed."""
        roles = {"canary": canary and Canary(canary, 100.0), "shadow": shadow}
        generation = bundles.point(self.server.var, "loans", self.champion, **roles)
        for role, digest in (("canary", canary), ("shadow", shadow)):
            self.server.wait_for(lambda role=role, digest=digest: self.server.all_have(generation, digest, role=role))

    def load(self, row: dict, seconds: float, rate: float = 60) -> Load:
        with Load(self.server, "loans", row, rate) as load:
            time.sleep(seconds)
        return load

    def events(self, version: str) -> list[dict]:
        return [e for e in logged(self.server.var) if e["slipway"]["model_version"] == version]

    def shadow_events(self, version: str) -> int:
        return len([event for event in self.events(version) if event["slipway"]["role"] == "shadow"])

    def shed(self, version: str) -> float:
        return self.server.metric("slipway_shadow_shed_total", version=version)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    champion = bundles.promote(folder / "var", folder / "v1", version="1", slow=CHAMPION_SLOW, serving=SERVING)
    with Server(folder / "var", ("loans",), workers=2) as server:
        yield Stage(server, champion, folder)


@pytest.mark.parametrize(("fault", "version"), [("error", "2"), ("nan", "3")])
def test_a_canary_that_fails_hurts_no_caller(stage: Stage, fault: str, version: str) -> None:
    stage.point(canary=stage.put(version, fault=fault))
    load = stage.load(FAULTY, seconds=2)
    assert_the_champion_answered(stage, load, version)
    causes = Counter(event["error"]["type"] for event in stage.events(version))
    assert causes == {"ModelError": len(load.answered)}
    assert_counted(stage, version, error=causes["ModelError"])
    assert stage.load(ROW, seconds=0.2).versions[-1] == version, "for other rows it answers"


def test_a_shadow_ten_times_slower_is_shed_and_nobody_waits_for_it(stage: Stage) -> None:
    alone = stage.load(ROW, seconds=3, rate=150)
    stage.point(shadow=stage.put("5", slow=10 * CHAMPION_SLOW + 40))
    load = stage.load(ROW, seconds=5, rate=150)
    assert (load.failed, load.broken) == ([], 0)
    assert set(load.versions) == {"1"}
    stage.point()
    quick, with_shadow = (percentile([a.seconds for a in loads.answered], 90) for loads in (alone, load))
    assert with_shadow < max(2 * quick, 0.1), (
        f"p90 {with_shadow * 1000:.1f} ms with the shadow, {quick * 1000:.1f} ms without"
    )
    stage.server.wait_for(lambda: stage.shadow_events("5") + stage.shed("5") == len(load.answered))
    assert stage.shed("5") > 0
    assert stage.shadow_events("5") > 0, "what it has time for, it gets"


def test_a_canary_that_hangs_hurts_no_caller_and_does_not_hold_up_the_end(stage: Stage) -> None:
    stage.point(canary=stage.put("4", fault="hang"))
    load = stage.load(FAULTY, seconds=3)
    assert_the_champion_answered(stage, load, "4")
    causes = Counter(event["error"]["type"] for event in stage.events("4"))
    assert set(causes) == {"Late", "Busy"}
    assert causes["Busy"] > causes["Late"], "while one hangs, no other is given to it"
    assert_counted(stage, "4", late=causes["Late"], busy=causes["Busy"])
    stage.server.process.terminate()
    assert stage.server.process.wait(20) == 0
    assert list((stage.server.var / "spool").rglob("*.open")) == []


def assert_the_champion_answered(stage: Stage, load: Load, version: str) -> None:
    """Check that all requests are answered in time, and the canary's failure is logged once for each row."""
    assert (load.failed, load.broken) == ([], 0)
    assert len(load.answered) > 60
    assert set(load.versions) == {"1"}
    slowest = max(answered.seconds for answered in load.answered)
    assert slowest < DEADLINE + BUSY_MACHINE, "the champion is asked when the canary's time is up at the latest"
    failures = stage.events(version)
    assert {event["slipway"]["role"] for event in failures} == {"canary"}
    assert {(event["slipway"]["answered"], event["event"]["outcome"]) for event in failures} == {(False, "failure")}
    assert Counter(event["slipway"]["row_id"] for event in failures) == Counter(load.ids)
    answers = Counter(event["slipway"]["row_id"] for event in stage.events("1") if event["slipway"]["answered"])
    assert {answers[identity] for identity in load.ids} == {1}


def assert_counted(stage: Stage, version: str, **reasons: int) -> None:
    for reason, number in reasons.items():
        stage.server.wait_for_metric(number, "slipway_canary_fallbacks_total", version=version, reason=reason)
    attempts = sum(number for reason, number in reasons.items() if reason != "busy")
    stage.server.wait_for_metric(attempts, "slipway_model_errors_total", version=version, role="canary")
