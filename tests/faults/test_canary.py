"""Faults on the way of a canary through its stages, or back."""

from __future__ import annotations

import pytest

from slipway.contracts.registry_names import CHAMPION
from tests.faults.conftest import Ready
from tests.faults.matrix import cells, check_survives, named
from tests.faults.table import Transition
from tests.faults.transitions import CANARY_STAGES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("transition", "fault"), cells(CANARY_STAGES))
def test_the_loop_goes_on_by_itself(ready: Ready, transition: Transition, fault: str) -> None:
    workspace, effects = ready(transition)
    check_survives(workspace, transition, fault, effects)


def test_a_removed_champion_ends_the_rollout_and_the_next_champion_is_promoted(ready: Ready) -> None:
    workspace, _ = ready(named("stage_to_stage", CANARY_STAGES))
    workspace.put_back()
    del workspace.model.versions["1"], workspace.model.aliases[CHAMPION]
    for _ in range(2):
        assert workspace.run("watch").error is None
    assert workspace.lines[-1].action == "canary.ended"
    assert workspace.run("promote", version="2").error is None
    assert workspace.run("watch").error is None
    assert workspace.model.aliases == {CHAMPION: "2"}
