"""Faults in each transition of the loop: the registry, Prefect or the log is down, or the process is killed.

Each cell of the matrix is tried at every effect of the transition: one process makes the transition and meets the fault
there, and processes without a fault go on. Processes and `kill -9` are real; registry and Prefect are doubles that keep
their state (`test_doubles.py`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from slipway.contracts.registry_names import CHAMPION
from slipway.contracts.registry_names import ROLLOUT as CANARY_TAG
from slipway.settings import settings
from tests.faults import home as homes
from tests.faults.faults import GONE, KILLED, LOG, Effect, Fault
from tests.faults.home import Home
from tests.faults.table import FAULTS, REFUSED, Transition, check_end, check_instant, check_moves
from tests.faults.transitions import TRANSITIONS, USECASE

PASSES = 4
GROUP = 3  # transitions that one worker tries: all of them at one would take longest of all tests
CELLS = [
    pytest.param(transition, fault, id=f"{transition.name}-{fault}", marks=pytest.mark.xdist_group(f"faults-{group}"))
    for group, transition in ((number // GROUP, transition) for number, transition in enumerate(TRANSITIONS))
    for fault in transition.faults
]


Ready = Callable[[Transition], tuple[Home, list[Effect]]]


@pytest.fixture(scope="module")
def homes_made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Home]]:
    """Make a home for each transition, which its cells share."""
    made: dict[str, Home] = {}
    with ExitStack() as stack:
        zygote = stack.enter_context(homes.zygote(tmp_path_factory.mktemp("processes") / "processes.log"))

        def make(name: str) -> Home:
            if name not in made:
                made[name] = stack.enter_context(homes.home(tmp_path_factory.mktemp(name), USECASE, zygote))
            return made[name]

        yield make


@pytest.fixture
def ready(homes_made: Callable[[str], Home], monkeypatch: pytest.MonkeyPatch) -> Ready:
    """Provide the home of a transition in the state before it, and its effects if nothing fails."""

    def make(transition: Transition) -> tuple[Home, list[Effect]]:
        home = homes_made(transition.name)
        for name, value in home.environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        if not home.is_kept:
            transition.prepare(home)
            home.keep()
            home.run(transition.act, **transition.args)
        home.put_back()
        effects = home.run(transition.act, **transition.args).effects
        transition.reached(home)
        check_end(home)
        return home, effects or []

    return make


@pytest.mark.parametrize(("transition", "fault"), CELLS)
def test_the_loop_goes_on_by_itself(ready: Ready, transition: Transition, fault: str) -> None:
    home, effects = ready(transition)
    points = list(FAULTS[fault](effects))
    assert points, f"nothing of it can happen here: {effects}"
    for point in points:
        try:
            _survives(home, transition, point)
        except AssertionError as error:
            what = effects[point.at - 1]
            raise AssertionError(f"{point.kind} at {point.at}, {what.target}: {what.what}\n{error}") from error


def _survives(home: Home, transition: Transition, point: Fault) -> None:
    home.put_back()
    before = copy.deepcopy(home.model)
    ended = home.run(transition.act, point, **transition.args)
    assert (ended.exit == -9) == (point.kind == KILLED)
    if transition.act.startswith("look"):
        assert ended.error is None, f"a pass of the watch, which others need, ended with {ended.error}"
    if home.is_untouched:
        return  # what goes on from here is the transition itself
    for _ in range(PASSES):
        args = transition.args if transition.goes_on == transition.act else {}
        assert home.run(transition.goes_on, **args).error is None
        if _is_reached(home, transition):
            break
    check_end(home)
    if transition.again:
        home.run(transition.act, **transition.args)
        check_end(home)
    transition.reached(home)
    check_moves(home, before.aliases)
    for earlier, later in zip([before, *home.instants], home.instants, strict=False):
        check_instant(earlier, later)


def _is_reached(home: Home, transition: Transition) -> bool:
    try:
        transition.reached(home)
        check_end(home)
    except AssertionError:
        return False
    return True


def _transition(name: str) -> Transition:
    return next(transition for transition in TRANSITIONS if transition.name == name)


def test_an_emergency_rollback_waits_for_no_log(ready: Ready) -> None:
    home, _ = ready(_transition("champion_rolled_back_by_hand"))
    home.put_back()
    ended = home.run("roll_back", Fault(GONE, 1, LOG))
    assert "version 1 is the champion of loans again, but the audit could not be written" in str(ended.error)
    assert home.model.aliases == {CHAMPION: "1"}
    assert home.run("look_later").error is None
    check_moves(home, {CHAMPION: "2"})


def test_a_version_that_is_refused_at_the_last_moment_does_not_become_the_champion(ready: Ready) -> None:
    home, effects = ready(_transition("last_stage_to_champion"))
    home.put_back()
    decided = next(number for number, effect in enumerate(effects, 1) if effect.what.endswith("models/set-tag"))
    assert home.run("look", Fault(KILLED, decided)).exit == -9
    assert '"outcome":"finished"' in home.model.tags[CANARY_TAG]
    home.tags("2")[REFUSED] = "ada: it is biased"
    home.run("look")
    assert home.model.aliases == {CHAMPION: "1"}
    check_end(home)
    assert home.lines[-1].action == "canary.ended"


def test_a_champion_that_is_gone_ends_the_rollout_beside_it_and_the_next_one_is_promoted(ready: Ready) -> None:
    home, _ = ready(_transition("stage_to_stage"))
    home.put_back()
    del home.model.versions["1"], home.model.aliases[CHAMPION]
    for _ in range(2):
        assert home.run("look").error is None
    assert home.lines[-1].action == "canary.ended"
    assert home.run("promote", version="2").error is None
    assert home.run("look").error is None
    assert home.model.aliases == {CHAMPION: "2"}


def test_a_promotion_that_is_killed_before_its_line_is_written_down_by_the_watch(ready: Ready) -> None:
    home, effects = ready(_transition("promoted_by_command"))
    home.put_back()
    assert home.run("look").error is None
    moved = next(number for number, effect in enumerate(effects, 1) if effect.what.endswith("models/alias"))
    assert home.run("promote", Fault(KILLED, moved), version="2").exit == -9
    assert home.run("look_later").error is None
    assert home.model.aliases == {CHAMPION: "2"}
    check_moves(home, {CHAMPION: "1"})
