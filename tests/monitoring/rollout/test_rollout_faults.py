"""Whatever ends a rollout's process, or meddles with it, between any two of its writes: it ends well all the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from monitoring.rollout import rollback, stage, transitions
from monitoring.rollout.evidence import Evidence
from monitoring.rollout.policy import Policy
from monitoring.rollout.rollback import roll_back
from monitoring.rollout.state import ROLLED_BACK, RolloutState
from slipway import audit
from slipway.errors import NotFound, RegistryError
from slipway.prediction_log import Log
from tests.monitoring.rollout.rollout_world import FAST, NAME, World
from tests.support.doubles.registry_in_memory import BrokenOff

pytestmark = pytest.mark.slow


def begins(world: World) -> None:
    world.registry.found["2"].tags["slipway.canary_weight"] = "30"
    world.registry.aliases["canary"] = "2"


def goes_on(world: World) -> None:
    world.begin()
    world.predict("champion", 1500)
    world.predict("canary", 400)


def finishes(world: World) -> None:
    world.write(canary=FAST | {"stages": [50]})
    goes_on(world)


def is_taken_back(world: World) -> None:
    world.begin()
    world.predict("champion", 1500)
    world.predict("canary", 400, fails=lambda k: k % 3 == 0)


def is_ended_by_a_person(world: World) -> None:
    world.begin()
    del world.registry.aliases["canary"]


def is_moved_by_a_person(world: World) -> None:
    world.begin()
    world.registry.aliases["canary"] = "3"


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


@pytest.fixture
def _evidence_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the log of a stage once: all worlds of a test have the same."""
    gather, found = stage.gather, {}

    def gather_once(log: Log, usecase: str, running: RolloutState, policy: Policy) -> Evidence:
        key = repr((msgspec.structs.replace(running, salt=""), policy))
        if key not in found:
            found[key] = gather(log, usecase, running, policy)
        return found[key]

    monkeypatch.setattr(stage, "gather", gather_once)


@pytest.mark.usefixtures("_evidence_once")
@pytest.mark.parametrize("died", [BrokenOff, RegistryError, OSError])
@pytest.mark.parametrize(("happens", "aliases", "running", "actions"), TRANSITIONS)
def test_a_pass_that_is_broken_off_before_any_of_its_writes_is_finished_by_the_next(
    rollout: Callable[..., World], monkeypatch, happens, aliases, running, actions, died
) -> None:
    """Killed, or the registry or the audit's place gone: before the first write, the second, and so on."""
    append, left = audit.append, 0
    while True:
        world = rollout(**FAST)
        happens(world)
        world.registry.died, world.registry.writes_left = died, left
        monkeypatch.setattr(audit, "append", world.registry.guarded(append))
        with suppress(BrokenOff):
            world.once(1)
        world.restart()
        world.once()
        world.once()
        state = world.running
        assert None not in world.registry.champions
        assert world.registry.aliases == aliases, left
        assert (state and (state.version, state.weight, state.stage)) == running, left
        assert world.actions == actions, left
        assert bool(world.refused()) == (happens is is_taken_back)
        if not world.registry.broke:
            break
        left += 1
    assert left >= 2


@pytest.mark.parametrize("died", [BrokenOff, RegistryError, OSError])
def test_a_rollback_by_hand_that_is_broken_off_is_finished_by_the_next_pass(
    rollout: Callable[..., World], monkeypatch, died
) -> None:
    append, left, broke = audit.append, 0, True
    while broke:
        world = rollout(**FAST)
        monkeypatch.setattr(rollback, "Registry", lambda world=world: world.registry)
        evidence = {"alias": "champion", "from": "1", "to": "2"}
        append(NAME, "promoted", who="ada", version="2", evidence=evidence)
        world.registry.aliases = {"champion": "2"}
        world.registry.died, world.registry.writes_left = died, left
        monkeypatch.setattr(audit, "append", world.registry.guarded(append))
        with suppress(died):
            roll_back(NAME, "wrong currency", world.config)
        broke = world.registry.broke
        world.restart()
        world.once()
        assert None not in world.registry.champions
        # Broken off before its first write it has not begun; its caller got an error.
        assert world.registry.aliases == {"champion": "2" if broke and not left else "1"}
        assert world.actions == ["promoted", *(["rolled_back"] if left or not broke else [])]
        assert ("wrong currency" in world.refused()) == bool(left or not broke)
        left += 1
    assert left == 4


def test_a_canary_that_is_taken_back_by_hand_is_refused_and_the_champion_stays(rollout, monkeypatch) -> None:
    world = rollout(**FAST)
    monkeypatch.setattr(rollback, "Registry", lambda: world.registry)
    world.begin()
    done = roll_back(NAME, "too early", world.config)
    assert (done.version, done.alias, done.instead) == ("2", "canary", None)
    assert world.registry.aliases == {"champion": "1"}
    assert world.actions == ["canary.began", "canary.rolled_back"]
    assert world.once().rolled_back == 1
    assert "too early" in world.refused()


@pytest.mark.parametrize("tag", ["f" * 64, ""])
def test_a_canary_whose_digest_was_altered_is_taken_back_as_well(rollout, monkeypatch, tag: str) -> None:
    """By hand, and at once: the tag may be what is wrong with it."""
    world = rollout(**FAST)
    world.register("2", "d" * 64)
    monkeypatch.setattr(rollback, "Registry", lambda: world.registry)
    world.begin()
    world.registry.found["2"].tags["slipway.bundle_sha256"] = tag
    roll_back(NAME, "what is this?", world.config)
    assert (world.registry.aliases, world.running) == ({"champion": "1"}, None)
    assert "what is this?" in world.refused()


def test_a_rollback_goes_by_the_audit_then_by_the_tags_and_never_to_a_refused_version(rollout, monkeypatch) -> None:
    world = rollout(**FAST)
    monkeypatch.setattr(rollback, "Registry", lambda: world.registry)
    world.registry.aliases = {"champion": "3"}
    with pytest.raises(NotFound, match="that is not refused: choose a version with `slipway promote made_up"):
        roll_back(NAME, config=world.config)
    world.registry.found["2"].tags["slipway.serving.local"] = "replaced: by version 3 since 2026-01-01"
    assert roll_back(NAME, config=world.config).instead == "2"
    with pytest.raises(NotFound):
        roll_back(NAME, config=world.config)  # version 3 was before, and is refused


def test_a_rollback_never_goes_to_a_version_that_has_the_number_of_a_previous_champion(rollout, monkeypatch) -> None:
    world = rollout(**FAST)
    monkeypatch.setattr(rollback, "Registry", lambda: world.registry)
    world.registry.aliases = {"champion": "3"}
    audit.append(NAME, "promoted", who="a", evidence={"alias": "champion", "from": "1", "to": "2"}, config=world.config)
    audit.append(NAME, "promoted", who="a", evidence={"alias": "champion", "from": "2", "to": "3"}, config=world.config)
    world.now = datetime.now(UTC) + timedelta(hours=1)
    world.register("2", "d" * 64)
    with pytest.raises(NotFound, match="no previous champion"):
        roll_back(NAME, config=world.config)
    audit.append(NAME, "promoted", who="a", evidence={"alias": "champion", "from": "1", "to": "3"}, config=world.config)
    assert roll_back(NAME, config=world.config).instead == "1"


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
    world = rollout(**FAST)
    world.begin()
    meddle(world.registry)
    champion = world.registry.aliases["champion"]
    world.once(1)
    assert world.registry.aliases == {"champion": champion}
    assert world.registry.tags == {}
    line = audit.lines(NAME, world.config)[-1]
    assert (line.action, line.why, line.who) == ("canary.ended", why, audit.UNKNOWN)


def test_a_version_whose_number_comes_again_is_a_rollout_of_its_own(rollout) -> None:
    world = rollout(**FAST)
    world.begin()
    world.predict("champion", 100)
    world.predict("canary", 60, fails=lambda k: True)
    world.register("2", "d" * 64)
    view = world.once(1)
    assert (world.actions, world.refused()) == (["canary.began", "canary.ended", "canary.began"], "")
    assert audit.lines(NAME, world.config)[1].why.startswith("version 2 is another one now")
    assert (world.running.digest, world.running.began, view.stage) == ("d" * 64, view.began, 1)
    assert world.once(1).message.startswith("waits for 0 of 50 predictions")


def test_a_champion_whose_number_comes_again_is_another_champion(rollout) -> None:
    world = rollout(**FAST)
    world.begin()
    world.register("1", "d" * 64)
    world.once(1)
    assert (world.running, world.registry.aliases) == (None, {"champion": "1"})
    assert audit.lines(NAME, world.config)[-1].why.startswith("version 1, the champion, is another one now")


def test_the_predictions_of_a_bundle_that_had_the_number_before_are_no_evidence(rollout) -> None:
    world = rollout(**FAST)
    new = {number: world.registry.found[number] for number in ("1", "2")}
    world.begin()
    for number in new:
        world.register(number, "e" * 64)
    world.predict("champion", 100)
    world.predict("canary", 60, fails=lambda k: True)
    world.registry.found |= new
    view = world.once(1)
    assert (view.stage, world.refused(), view.message) == (1, "", "waits for 0 of 50 predictions.")


def test_a_rollback_that_was_broken_off_refuses_no_other_version_of_that_number(rollout) -> None:
    world = rollout(**FAST)
    world.begin()
    decided = transitions.decide(world.registry, NAME, world.running, ROLLED_BACK, who="a person", why="too early")
    world.register("2", "d" * 64)
    transitions.carry_out(world.registry, NAME, decided, world.config)
    assert (world.refused(), world.registry.aliases["canary"], world.registry.tags) == ("", "2", {})


def test_a_person_who_moves_the_champion_in_the_middle_of_its_promotion_is_not_overruled(rollout) -> None:
    world = rollout(**FAST)
    finishes(world)
    world.registry.writes_left = 1  # the outcome stands in the tag
    with suppress(BrokenOff):
        world.once(1)
    assert world.running.outcome == "finished"
    world.registry.aliases["champion"] = "3"
    world.restart()
    world.once()
    assert world.registry.aliases == {"champion": "3"}
    assert world.actions == ["canary.began", "canary.ended"]


@pytest.mark.parametrize("tag", ["", "no JSON", '{"version": "2", "weight": 100}', '{"version": "2", "began": "soon"}'])
def test_a_tag_that_no_rollout_wrote_is_replaced_by_the_first_stage(rollout, tag: str) -> None:
    world = rollout(**FAST)
    world.registry.tags["slipway.canary"] = tag
    world.begin()
    assert (world.running.weight, world.running.stage) == (5, 1)


@pytest.mark.parametrize("canary", ["1", "2"])
def test_a_canary_that_is_the_champion_or_refused_does_not_begin(rollout, canary: str) -> None:
    world = rollout(**FAST)
    world.registry.found["2"].tags["slipway.refused"] = "a bug"
    world.registry.aliases["canary"] = canary
    assert f"the alias canary was removed from version {canary}" in world.once().message
    assert world.registry.aliases == {"champion": "1"}
    assert world.actions == ["canary.ended"]


def test_a_canary_without_a_champion_waits_for_one(rollout) -> None:
    world = rollout(**FAST)
    world.registry.aliases = {"canary": "2"}
    assert world.once().message == "version 2 is the canary, and waits until there is a champion."
    world.registry.aliases["champion"] = "1"
    assert world.once().version == "2"


@pytest.mark.parametrize("environment", ["staging", "test"])
def test_another_environment_leaves_the_rollout_to_production(rollout, environment: str) -> None:
    world = rollout(environment, **FAST)
    world.registry.aliases["canary"] = "2"
    assert world.once().version is None
    assert world.registry.champions == []


def test_without_traffic_it_waits_and_says_so(rollout) -> None:
    world = rollout(**FAST, stages=[50])
    world.begin()
    assert world.once(60).message == "waits for 0 of 50 predictions, evidence on errors, time, scores."


def test_an_unreadable_log_is_reported_and_the_rollout_waits(rollout, monkeypatch) -> None:
    world = rollout(**FAST)
    goes_on(world)
    world.config.spool.rename(world.config.spool.with_name("gone"))
    world.config.spool.write_text("")
    view = world.once(1)
    assert view.message.startswith("waits: the log cannot be read: ")
    assert world.running.stage == 1
    world.config.spool.unlink()
    world.config.spool.with_name("gone").rename(world.config.spool)
    assert world.once(1).stage == 2


def test_a_registry_that_is_down_leaves_the_last_picture_and_says_so(rollout, monkeypatch) -> None:
    world = rollout(**FAST)
    world.begin()
    world.registry.model = lambda name: (_ for _ in ()).throw(RegistryError("the registry does not respond"))
    view = world.once(1)
    assert (view.version, view.message) == ("2", "waits: the registry does not respond")


def test_a_use_case_whose_file_is_wrong_goes_by_the_default_limits_and_says_so(rollout) -> None:
    world = rollout(**FAST)
    is_taken_back(world)
    world.write(canary={"stages": [50, 5]})
    assert world.once(1).message.startswith("version 2 was rolled back: errors")


def test_a_refusal_that_a_person_lifts_lets_the_version_be_a_canary_again(rollout) -> None:
    world = rollout(**FAST)
    is_taken_back(world)
    world.once(1)
    world.registry.aliases["canary"] = "2"
    assert world.once(1).version is None
    del world.registry.found["2"].tags["slipway.refused"]
    world.registry.aliases["canary"] = "2"
    assert world.once(1).version == "2"


def test_rollbacks_are_counted_by_the_audit_so_a_restart_forgets_none(rollout) -> None:
    world = rollout(**FAST)
    is_taken_back(world)
    world.once(1)
    world.restart()
    assert world.once().rolled_back == 1
