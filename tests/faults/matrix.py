"""Matrix of transitions and faults: the registry, Prefect or the log is down, or the process is killed.

Each cell is tried at every effect of the transition: one process makes the transition and meets the fault there, and
processes without a fault go on. Processes and `kill -9` are real; registry and Prefect are doubles that keep their
state (`test_doubles.py`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from tests.faults.faults import KILLED, Effect, Fault
from tests.faults.table import FAULTS, Transition, check_end, check_instant, check_moves
from tests.faults.workspace import Workspace

PASSES = 4


def cells(transitions: Iterable[Transition]) -> list[Any]:
    """Return the parameters `(transition, fault)` of every cell."""
    return [
        pytest.param(transition, fault, id=f"{transition.name}-{fault}")
        for transition in transitions
        for fault in transition.faults
    ]


def named(name: str, transitions: Iterable[Transition]) -> Transition:
    """Return the transition of that name."""
    return next(transition for transition in transitions if transition.name == name)


def check_survives(workspace: Workspace, transition: Transition, fault: str, effects: Sequence[Effect]) -> None:
    """Check that the loop goes on by itself after the fault, wherever the transition meets it."""
    points = list(FAULTS[fault](effects))
    assert points, f"nothing of it can happen here: {effects}"
    for point in points:
        try:
            _check_point(workspace, transition, point)
        except AssertionError as error:
            what = effects[point.at - 1]
            raise AssertionError(f"{point.kind} at {point.at}, {what.target}: {what.what}\n{error}") from error


def _check_point(workspace: Workspace, transition: Transition, point: Fault) -> None:
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
