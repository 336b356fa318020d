"""Faults on the way from a verdict to a challenger."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Ready
from tests.faults.matrix import cells, check_survives
from tests.faults.table import Transition
from tests.faults.transitions import TRAINING

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("transition", "fault"), cells(TRAINING))
def test_the_loop_goes_on_by_itself(ready: Ready, transition: Transition, fault: str) -> None:
    workspace, effects = ready(transition)
    check_survives(workspace, transition, fault, effects)
