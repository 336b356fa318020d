"""Whatever ends a rollout's process, or meddles with it, between any two of its writes: it ends well all the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from monitoring.rollout import rollback
from monitoring.rollout.rollback import roll_back
from slipway import audit
from slipway.errors import NotFound, RegistryError
from tests.monitoring.rollout.rollout_world import FAST, NAME, World
from tests.support.doubles.registry_in_memory import BrokenOff

pytestmark = pytest.mark.slow


def begins(home: World) -> None:
    home.registry.found["2"].tags["slipway.canary_weight"] = "30"
    home.registry.aliases["canary"] = "2"


def goes_on(home: World) -> None:
    home.begin()
    home.predict("champion", 1500)
    home.predict("canary", 400)


def finishes(home: World) -> None:
    home.write(canary=FAST | {"stages": [50]})
    goes_on(home)


def is_taken_back(home: World) -> None:
    home.begin()
    home.predict("champion", 1500)
    home.predict("canary", 400, fails=lambda k: k % 3 == 0)


def is_ended_by_a_person(home: World) -> None:
    home.begin()
    del home.registry.aliases["canary"]


def is_moved_by_a_person(home: World) -> None:
    home.begin()
    home.registry.aliases["canary"] = "3"


# What happens, the aliases after it, the stage that stands in the tag, and what the audit says, each once.
TRANSITIONS = [
    (begins, {"champion": "1", "canary": "2"}, ("2", 30.0, 1), ["canary.began"]),
    (goes_on, {"champion": "1", "canary": "2"}, ("2", 25.0, 2), ["canary.began", "canary.advanced"]),
    (finishes, {"champion": "2"}, None, ["canary.began", "canary.finished"]),
    (is_taken_back, {"champion": "1"}, None, ["canary.began", "canary.rolled_back"]),
    (is_ended_by_a_person, {"champion": "1"}, None, ["canary.began", "canary.ended"]),
    (
        is_moved_by_a_person,
        {"champion": "1", "canary": "3"},
        ("3", 5.0, 1),
        ["canary.began", "canary.ended", "canary.began"],
    ),
]


@pytest.mark.parametrize("died", [BrokenOff, RegistryError, OSError])
@pytest.mark.parametrize(("happens", "aliases", "stage", "actions"), TRANSITIONS)
def test_a_pass_that_is_broken_off_before_any_of_its_writes_is_finished_by_the_next(
    rollout: Callable[..., World], monkeypatch, happens, aliases, stage, actions, died
) -> None:
    """Killed, or the registry or the audit's place gone: before the first write, the second, and so on."""
    append, left = audit.append, 0
    while True:
        home = rollout(**FAST)
        happens(home)
        home.registry.died, home.registry.writes_left = died, left
        monkeypatch.setattr(audit, "append", home.registry.guarded(append))
        with suppress(BrokenOff):
            home.once(1)
        home.restart()
        home.once()
        home.once()
        running = home.running
        assert None not in home.registry.champions
        assert home.registry.aliases == aliases, left
        assert (running and (running.version, running.weight, running.stage)) == stage, left
        assert home.actions == actions, left
        assert bool(home.refused()) == (happens is is_taken_back)
        if not home.registry.broke:
            break
        left += 1
    assert left >= 2


@pytest.mark.parametrize("died", [BrokenOff, RegistryError, OSError])
def test_a_rollback_by_hand_that_is_broken_off_is_finished_by_the_next_pass(
    rollout: Callable[..., World], monkeypatch, died
) -> None:
    append, left, broke = audit.append, 0, True
    while broke:
        home = rollout(**FAST)
        monkeypatch.setattr(rollback, "Registry", lambda home=home: home.registry)
        told = {"alias": "champion", "from": "1", "to": "2"}
        append(NAME, "promoted", who="ada", version="2", evidence=told)
        home.registry.aliases = {"champion": "2"}
        home.registry.died, home.registry.writes_left = died, left
        monkeypatch.setattr(audit, "append", home.registry.guarded(append))
        with suppress(died):
            roll_back(NAME, "wrong currency", home.config)
        broke = home.registry.broke
        home.restart()
        home.once()
        assert None not in home.registry.champions
        # Broken off before its first write it has not begun; its caller was told so.
        assert home.registry.aliases == {"champion": "2" if broke and not left else "1"}
        assert home.actions == ["promoted", *(["rolled_back"] if left or not broke else [])]
        assert ("wrong currency" in home.refused()) == bool(left or not broke)
        left += 1
    assert left == 4


def test_a_canary_that_is_taken_back_by_hand_is_refused_and_the_champion_stays(rollout, monkeypatch) -> None:
    home = rollout(**FAST)
    monkeypatch.setattr(rollback, "Registry", lambda: home.registry)
    home.begin()
    done = roll_back(NAME, "too early", home.config)
    assert (done.version, done.alias, done.instead) == ("2", "canary", None)
    assert home.registry.aliases == {"champion": "1"}
    assert home.actions == ["canary.began", "canary.rolled_back"]
    assert "too early" in home.refused()


def test_a_rollback_goes_by_the_audit_then_by_the_tags_and_never_to_a_refused_version(rollout, monkeypatch) -> None:
    home = rollout(**FAST)
    monkeypatch.setattr(rollback, "Registry", lambda: home.registry)
    home.registry.aliases = {"champion": "3"}
    with pytest.raises(NotFound, match="that is not refused: choose a version with `slipway promote made_up"):
        roll_back(NAME, config=home.config)
    home.registry.found["2"].tags["slipway.serving.local"] = "replaced: by version 3 since 2026-01-01"
    assert roll_back(NAME, config=home.config).instead == "2"
    with pytest.raises(NotFound):
        roll_back(NAME, config=home.config)  # version 3 was before, and is refused


@pytest.mark.parametrize(
    ("meddle", "why"),
    [
        (lambda registry: registry.aliases.update(champion="3"), "the alias champion was moved from version 1 to 3"),
        (lambda registry: registry.aliases.update(champion="2"), "version 2 was made the champion"),
        (lambda registry: registry.found.pop("2"), "version 2 is gone from the registry"),
        (
            lambda registry: registry.found["2"].tags.update({"slipway.refused": "a bug"}),
            "version 2 carries the tag slipway.refused: a bug",
        ),
        (
            lambda registry: (
                registry.aliases.pop("canary"),
                registry.found["2"].tags.update({"slipway.serving.local": "refused: its gates failed."}),
            ),
            "refused: its gates failed.",
        ),
    ],
)
def test_what_a_person_or_the_reconciler_does_in_the_middle_ends_the_rollout(rollout, meddle, why: str) -> None:
    home = rollout(**FAST)
    home.begin()
    meddle(home.registry)
    champion = home.registry.aliases["champion"]
    home.once(1)
    assert home.registry.aliases == {"champion": champion}
    assert home.registry.tags == {}
    line = audit.lines(NAME, home.config)[-1]
    assert (line.action, line.why, line.who) == ("canary.ended", why, audit.UNKNOWN)


def test_a_person_who_moves_the_champion_in_the_middle_of_its_promotion_is_not_overruled(rollout) -> None:
    home = rollout(**FAST)
    finishes(home)
    home.registry.writes_left = 1  # the outcome stands in the tag
    with suppress(BrokenOff):
        home.once(1)
    assert home.running.outcome == "finished"
    home.registry.aliases["champion"] = "3"
    home.restart()
    home.once()
    assert home.registry.aliases == {"champion": "3"}
    assert home.actions == ["canary.began", "canary.ended"]


@pytest.mark.parametrize("tag", ["", "no JSON", '{"version": "2", "weight": 100}', '{"version": "2", "began": "soon"}'])
def test_a_tag_that_no_rollout_wrote_is_replaced_by_the_first_stage(rollout, tag: str) -> None:
    home = rollout(**FAST)
    home.registry.tags["slipway.canary"] = tag
    home.begin()
    assert (home.running.weight, home.running.stage) == (5, 1)


@pytest.mark.parametrize("canary", ["1", "2"])
def test_a_canary_that_is_the_champion_or_refused_does_not_begin(rollout, canary: str) -> None:
    home = rollout(**FAST)
    home.registry.found["2"].tags["slipway.refused"] = "a bug"
    home.registry.aliases["canary"] = canary
    assert f"the alias canary was removed from version {canary}" in home.once().said
    assert home.registry.aliases == {"champion": "1"}
    assert home.actions == ["canary.ended"]


def test_a_canary_without_a_champion_waits_for_one(rollout) -> None:
    home = rollout(**FAST)
    home.registry.aliases = {"canary": "2"}
    assert home.once().said == "version 2 is the canary, and waits until there is a champion."
    home.registry.aliases["champion"] = "1"
    assert home.once().version == "2"


@pytest.mark.parametrize("environment", ["staging", "test"])
def test_another_environment_leaves_the_rollout_to_production(rollout, environment: str) -> None:
    home = rollout(environment, **FAST)
    home.registry.aliases["canary"] = "2"
    assert home.once().version is None
    assert home.registry.champions == []


def test_without_traffic_it_waits_and_says_so(rollout) -> None:
    home = rollout(**FAST, stages=[50])
    home.begin()
    assert home.once(60).said == "waits for 0 of 50 predictions, evidence on errors, time, scores."


def test_a_log_that_cannot_be_read_is_said_and_the_rollout_waits(rollout, monkeypatch) -> None:
    home = rollout(**FAST)
    goes_on(home)
    home.config.spool.rename(home.config.spool.with_name("gone"))
    home.config.spool.write_text("")
    view = home.once(1)
    assert view.said.startswith("waits: the log cannot be read: ")
    assert home.running.stage == 1
    home.config.spool.unlink()
    home.config.spool.with_name("gone").rename(home.config.spool)
    assert home.once(1).stage == 2


def test_a_registry_that_is_down_leaves_the_last_picture_and_says_so(rollout, monkeypatch) -> None:
    home = rollout(**FAST)
    home.begin()
    home.registry.model = lambda name: (_ for _ in ()).throw(RegistryError("the registry does not answer"))
    view = home.once(1)
    assert (view.version, view.said) == ("2", "waits: the registry does not answer")


def test_a_use_case_whose_file_is_wrong_goes_by_the_default_limits_and_says_so(rollout) -> None:
    home = rollout(**FAST)
    is_taken_back(home)
    home.write(canary={"stages": [50, 5]})
    assert home.once(1).said.startswith("version 2 was rolled back: errors")


def test_a_refusal_that_a_person_lifts_lets_the_version_be_a_canary_again(rollout) -> None:
    home = rollout(**FAST)
    is_taken_back(home)
    home.once(1)
    home.registry.aliases["canary"] = "2"
    assert home.once(1).version is None
    del home.registry.found["2"].tags["slipway.refused"]
    home.registry.aliases["canary"] = "2"
    assert home.once(1).version == "2"


def test_rollbacks_are_counted_by_the_audit_so_a_restart_forgets_none(rollout) -> None:
    home = rollout(**FAST)
    is_taken_back(home)
    home.once(1)
    home.restart()
    assert home.once().rolled_back == 1
