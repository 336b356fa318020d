from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slipway import audit
from slipway.settings import settings
from tests.monitoring.rollout_world import NAME, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    def make(environment: str = "local", **canary: object) -> World:
        monkeypatch.setenv("SLIPWAY_ENVIRONMENT", environment)
        monkeypatch.setenv("SLIPWAY_USECASES", str(tmp_path / "usecases"))
        settings.cache_clear()
        return World(settings(), tmp_path / "usecases", **canary)

    return make


def test_a_canary_begins_with_the_first_stage_and_says_what_it_waits_for(world: Callable[..., World]) -> None:
    home = world()
    assert home.once().version is None
    view = home.begin()
    assert (view.version, view.champion, view.weight, view.stage) == ("2", "1", 5.0, 1)
    assert view.stages == [5, 25, 50, 100]
    home.predict("champion", 300)
    home.predict("canary", 150)
    view = home.once(3)
    assert view.said == "waits for 150 of 200 predictions, 3.0 of 10 minutes."
    assert {finding.test for finding in view.findings} >= {"errors", "time", "scores", "loss"}
    assert home.actions == ["canary.began"]


def test_an_equal_canary_goes_through_all_stages_and_becomes_champion_on_evidence(world: Callable[..., World]) -> None:
    home = world(min_minutes=1)
    home.begin()
    home.predict("champion", 3000)
    weights = []
    for _ in range(4):
        home.predict("canary", 400)
        weights.append(home.once(2).weight)
    assert weights == [25, 50, 100, 0]
    assert home.registry.aliases == {"champion": "2"}
    assert home.registry.tags == {}
    assert home.actions == ["canary.began", *["canary.advanced"] * 3, "canary.finished"]
    line = audit.lines(NAME, home.config)[-1]
    assert {"alias": "champion", "from": "1", "to": "2"} in line.evidence["moved"]
    assert {f["test"] for f in line.evidence["findings"]} >= {"errors", "time", "scores"}


def test_without_evidence_it_waits_after_the_last_stage(world: Callable[..., World]) -> None:
    home = world(min_minutes=0, min_predictions=50, stages=[10])
    home.begin()
    home.predict("champion", 500)
    home.predict("canary", 60)
    assert home.once().said == "waits for evidence on errors, time, scores."
    assert home.registry.aliases == {"champion": "1", "canary": "2"}


def test_a_canary_that_fails_is_taken_back_refused_and_written_down(world: Callable[..., World]) -> None:
    home = world()
    home.begin()
    home.predict("champion", 6000)
    home.predict("canary", 300, fails=lambda k: k % 20 == 0)
    view = home.once(0.5)
    assert (view.version, view.rolled_back) == (None, 1)
    assert home.registry.aliases == {"champion": "1"}
    assert home.registry.tags == {}
    assert home.refused().startswith("taken back by slipway rollout: errors: 5 % of 300 beside the champion's 0 % of 6")
    assert home.actions == ["canary.began", "canary.rolled_back"]
    assert home.once().said == view.said


def test_a_canary_that_is_slow_is_taken_back(world: Callable[..., World]) -> None:
    home = world()
    home.begin()
    home.predict("champion", 1000)
    home.predict("canary", 50, ms=lambda k: 5.0)
    assert "time: 100 % of 50" in home.once(0.2).said
