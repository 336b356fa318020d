"""Workspaces that the cells of a transition share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from slipway.settings import settings
from tests.faults import workspace as workspaces
from tests.faults.faults import Effect
from tests.faults.table import Transition, check_end
from tests.faults.transitions import USECASE
from tests.faults.workspace import Workspace

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
    """Provide the workspace of a transition, and its effects if nothing fails.

    `put_back` restores the state before it.
    """

    def make(transition: Transition) -> tuple[Workspace, list[Effect]]:
        workspace = open_workspaces(transition.name)
        for name, value in workspace.environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        if not workspace.effects:
            transition.prepare(workspace)
            workspace.keep()
            workspace.run(transition.act, **transition.args)
            workspace.put_back()
            workspace.effects = workspace.run(transition.act, **transition.args).effects or []
            transition.reached(workspace)
            check_end(workspace)
        return workspace, workspace.effects

    return make
