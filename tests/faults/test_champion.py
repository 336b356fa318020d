"""Faults where a version becomes the champion, or no longer is."""

from __future__ import annotations

import pytest

from slipway.contracts.registry_names import CHAMPION
from slipway.contracts.registry_names import ROLLOUT as CANARY_TAG
from tests.faults.conftest import Ready
from tests.faults.faults import GONE, KILLED, LOG, Fault
from tests.faults.matrix import cells, check_survives, named
from tests.faults.table import REFUSED, Transition, check_end, check_moves
from tests.faults.transitions import CHAMPIONS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("transition", "fault"), cells(CHAMPIONS))
def test_the_loop_goes_on_by_itself(ready: Ready, transition: Transition, fault: str) -> None:
    workspace, effects = ready(transition)
    check_survives(workspace, transition, fault, effects)


def test_an_emergency_rollback_waits_for_no_log(ready: Ready) -> None:
    workspace, _ = ready(named("champion_rolled_back_by_hand", CHAMPIONS))
    workspace.put_back()
    ended = workspace.run("roll_back", Fault(GONE, 1, LOG))
    assert "version 1 is the champion of loans again, but the audit could not be written" in str(ended.error)
    assert workspace.model.aliases == {CHAMPION: "1"}
    assert workspace.run("watch_until_settled").error is None
    check_moves(workspace, {CHAMPION: "2"})


def test_a_version_that_is_refused_at_the_last_moment_does_not_become_the_champion(ready: Ready) -> None:
    workspace, effects = ready(named("last_stage_to_champion", CHAMPIONS))
    workspace.put_back()
    decided = next(number for number, effect in enumerate(effects, 1) if effect.what.endswith("models/set-tag"))
    assert workspace.run("watch", Fault(KILLED, decided)).exit == -9
    assert '"outcome":"finished"' in workspace.model.tags[CANARY_TAG]
    workspace.tags("2")[REFUSED] = "ada: it is biased"
    workspace.run("watch")
    assert workspace.model.aliases == {CHAMPION: "1"}
    check_end(workspace)
    assert workspace.lines[-1].action == "canary.ended"


def test_a_promotion_that_is_killed_before_its_line_is_written_down_by_the_watch(ready: Ready) -> None:
    workspace, effects = ready(named("promoted_by_command", CHAMPIONS))
    workspace.put_back()
    assert workspace.run("watch").error is None
    moved = next(number for number, effect in enumerate(effects, 1) if effect.what.endswith("models/alias"))
    assert workspace.run("promote", Fault(KILLED, moved), version="2").exit == -9
    assert workspace.run("watch_until_settled").error is None
    assert workspace.model.aliases == {CHAMPION: "2"}
    check_moves(workspace, {CHAMPION: "1"})
