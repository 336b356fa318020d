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
from tests.faults import workspace as workspaces
from tests.faults.faults import GONE, KILLED, LOG, Effect, Fault
from tests.faults.table import FAULTS, REFUSED, Transition, check_end, check_instant, check_moves
from tests.faults.transitions import TRANSITIONS, USECASE
from tests.faults.workspace import Workspace

pytestmark = pytest.mark.slow

PASSES = 4
GROUP = 3  # transitions that one worker tries: all of them at one would take longest of all tests
CELLS = [
    pytest.param(transition, fault, id=f"{transition.name}-{fault}", marks=pytest.mark.xdist_group(f"faults-{group}"))
    for group, transition in ((number // GROUP, transition) for number, transition in enumerate(TRANSITIONS))
    for fault in transition.faults
]


Ready = Callable[[Transition], tuple[Workspace, list[Effect]]]


@pytest.fixture(scope="module")
def open_workspaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Workspace]]:
    """Make a workspace for each transition, which its cells share."""
    opened: dict[str, Workspace] = {}
    with ExitStack() as stack:
        zygote = stack.enter_context(workspaces.zygote(tmp_path_factory.mktemp("processes") / "processes.log"))

        def make(name: str) -> Workspace:
            if name not in opened:
                opened[name] = stack.enter_context(
                    workspaces.open_workspace(tmp_path_factory.mktemp(name), USECASE, zygote)
                )
            return opened[name]

        yield make


@pytest.fixture
def ready(open_workspaces: Callable[[str], Workspace], monkeypatch: pytest.MonkeyPatch) -> Ready:
    """Provide the workspace of a transition in the state before it, and its effects if nothing fails."""

    def make(transition: Transition) -> tuple[Workspace, list[Effect]]:
        workspace = open_workspaces(transition.name)
        for name, value in workspace.environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        if not workspace.is_kept:
            transition.prepare(workspace)
            workspace.keep()
            workspace.run(transition.act, **transition.args)
        workspace.put_back()
        effects = workspace.run(transition.act, **transition.args).effects
        transition.reached(workspace)
        check_end(workspace)
        return workspace, effects or []

    return make


@pytest.mark.parametrize(("transition", "fault"), CELLS)
def test_the_loop_goes_on_by_itself(ready: Ready, transition: Transition, fault: str) -> None:
    workspace, effects = ready(transition)
    points = list(FAULTS[fault](effects))
    assert points, f"nothing of it can happen here: {effects}"
    for point in points:
        try:
            _survives(workspace, transition, point)
        except AssertionError as error:
            what = effects[point.at - 1]
            raise AssertionError(f"{point.kind} at {point.at}, {what.target}: {what.what}\n{error}") from error


def _survives(workspace: Workspace, transition: Transition, point: Fault) -> None:
    workspace.put_back()
    before = copy.deepcopy(workspace.model)
    ended = workspace.run(transition.act, point, **transition.args)
    assert (ended.exit == -9) == (point.kind == KILLED)
    if transition.act.startswith("watch"):
        assert ended.error is None, f"a pass of the watch, which others need, ended with {ended.error}"
    if workspace.is_untouched:
        return  # what goes on from here is the transition itself
    for _ in range(PASSES):
        args = transition.args if transition.goes_on == transition.act else {}
        assert workspace.run(transition.goes_on, **args).error is None
        if _is_reached(workspace, transition):
            break
    check_end(workspace)
    if transition.again:
        workspace.run(transition.act, **transition.args)
        check_end(workspace)
    transition.reached(workspace)
    check_moves(workspace, before.aliases)
    for earlier, later in zip([before, *workspace.instants], workspace.instants, strict=False):
        check_instant(earlier, later)


def _is_reached(workspace: Workspace, transition: Transition) -> bool:
    try:
        transition.reached(workspace)
        check_end(workspace)
    except AssertionError:
        return False
    return True


def _transition(name: str) -> Transition:
    return next(transition for transition in TRANSITIONS if transition.name == name)


def test_an_emergency_rollback_waits_for_no_log(ready: Ready) -> None:
    workspace, _ = ready(_transition("champion_rolled_back_by_hand"))
    workspace.put_back()
    ended = workspace.run("roll_back", Fault(GONE, 1, LOG))
    assert "version 1 is the champion of loans again, but the audit could not be written" in str(ended.error)
    assert workspace.model.aliases == {CHAMPION: "1"}
    assert workspace.run("watch_until_settled").error is None
    check_moves(workspace, {CHAMPION: "2"})


def test_a_version_that_is_refused_at_the_last_moment_does_not_become_the_champion(ready: Ready) -> None:
    workspace, effects = ready(_transition("last_stage_to_champion"))
    workspace.put_back()
    decided = next(number for number, effect in enumerate(effects, 1) if effect.what.endswith("models/set-tag"))
    assert workspace.run("watch", Fault(KILLED, decided)).exit == -9
    assert '"outcome":"finished"' in workspace.model.tags[CANARY_TAG]
    workspace.tags("2")[REFUSED] = "ada: it is biased"
    workspace.run("watch")
    assert workspace.model.aliases == {CHAMPION: "1"}
    check_end(workspace)
    assert workspace.lines[-1].action == "canary.ended"


def test_a_removed_champion_ends_the_rollout_and_the_next_champion_is_promoted(ready: Ready) -> None:
    workspace, _ = ready(_transition("stage_to_stage"))
    workspace.put_back()
    del workspace.model.versions["1"], workspace.model.aliases[CHAMPION]
    for _ in range(2):
        assert workspace.run("watch").error is None
    assert workspace.lines[-1].action == "canary.ended"
    assert workspace.run("promote", version="2").error is None
    assert workspace.run("watch").error is None
    assert workspace.model.aliases == {CHAMPION: "2"}


def test_a_promotion_that_is_killed_before_its_line_is_written_down_by_the_watch(ready: Ready) -> None:
    workspace, effects = ready(_transition("promoted_by_command"))
    workspace.put_back()
    assert workspace.run("watch").error is None
    moved = next(number for number, effect in enumerate(effects, 1) if effect.what.endswith("models/alias"))
    assert workspace.run("promote", Fault(KILLED, moved), version="2").exit == -9
    assert workspace.run("watch_until_settled").error is None
    assert workspace.model.aliases == {CHAMPION: "2"}
    check_moves(workspace, {CHAMPION: "1"})
