"""Matrix of transitions of the loop and faults in them, and the invariants after each and at every write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitoring.retraining.decisions import STARTED
from slipway.contracts.registry_names import CANARY, CHAMPION, REFUSED
from slipway.contracts.registry_names import ROLLOUT as CANARY_TAG
from tests.faults.faults import GONE, KILLED, LOG, LOST, PREFECT, REGISTRY, UNWRITABLE, Effect, Fault
from tests.faults.workspace import Workspace
from tests.support.doubles.mlflow_double import Model

_MARK = "audit/local/loans/pending"  # precedes each line of the audit: tests/slipway/test_audit.py has its faults

Faults = Callable[[Sequence[Effect]], Iterator[Fault]]


def _gone(target: str) -> Faults:
    def faults(effects: Sequence[Effect]) -> Iterator[Fault]:
        return (Fault(GONE, number, target) for number, effect in _counted(effects) if effect.target == target)

    return faults


def _after_writes(kind: str, *targets: str) -> Faults:
    def faults(effects: Sequence[Effect]) -> Iterator[Fault]:
        found = (number for number, effect in _counted(effects) if effect.writes and effect.target in targets)
        return (Fault(kind, number) for number in found)

    return faults


def _read_only(effects: Sequence[Effect]) -> Iterator[Fault]:
    yield Fault(UNWRITABLE, 1, LOG)


def _counted(effects: Sequence[Effect]) -> Iterator[tuple[int, Effect]]:
    """Yield the effects up to the last write; of consecutive reads of the log, or files of a run, only the first."""
    last = max(number for number, effect in enumerate(effects) if effect.writes)
    for number, effect in enumerate(effects[: last + 1]):
        one_more = number > 0 and _series(effect) and _series(effect) == _series(effects[number - 1])
        if not one_more and not effect.what.partition(" ")[2].startswith(_MARK):
            yield number + 1, effect


def _series(effect: Effect) -> str:
    """Name the series of like effects that it belongs to, if any."""
    if effect.target == LOG and not effect.writes:
        return "reads of the log"
    return "files of a run" if effect.what.startswith("client PUT") else ""


FAULTS: dict[str, Faults] = {
    "registry_gone": _gone(REGISTRY),
    "registry_answer_lost": _after_writes(LOST, REGISTRY),
    "prefect_gone": _gone(PREFECT),
    "prefect_answer_lost": _after_writes(LOST, PREFECT),
    "log_gone": _gone(LOG),
    "log_read_only": _read_only,
    "killed": _after_writes(KILLED, REGISTRY, PREFECT, LOG),
}
OF_THE_REGISTRY = ("registry_gone", "registry_answer_lost", "log_gone", "log_read_only", "killed")
OF_A_DECISION = ("registry_gone", "prefect_gone", "log_gone", "log_read_only", "killed")


@dataclass(frozen=True)
class Transition:
    """Transition of the loop: `act` makes it from the state that `prepare` leaves, and `reached` asserts its end.

    `faults` are those it can meet. `goes_on` is the act that follows a fault by itself, with the same `args` if it is
    the same act; `again` is whether a user then repeats the command.
    """

    name: str
    act: str
    prepare: Callable[[Workspace], None]
    reached: Callable[[Workspace], None]
    faults: tuple[str, ...] = OF_THE_REGISTRY
    args: dict[str, Any] = field(default_factory=dict)
    goes_on: str = "watch"
    again: bool = False


def check_instant(before: Model, after: Model) -> None:
    """Check the invariants after every write, whoever made it."""
    assert CHAMPION in after.aliases, "there was no champion"
    for alias, version in after.aliases.items():
        assert version in after.versions, f"{alias} names version {version}, which is not there"
    moved = before.aliases.get(CHAMPION) != after.aliases[CHAMPION]
    assert not (moved and REFUSED in _champion(after)), "a refused version was made the champion"


def check_end(workspace: Workspace) -> None:
    """Check that nothing is half done once the loop has gone on."""
    model = workspace.model
    canary, running = model.aliases.get(CANARY), model.tags.get(CANARY_TAG)
    assert REFUSED not in _champion(model), "the champion is refused"
    assert canary != model.aliases[CHAMPION], "the champion is its own canary"
    assert (canary is None) == (running is None), f"the alias canary names {canary}, and its tag is {running}"
    if canary:
        tag = json.loads(running or "{}")
        assert (tag["version"], tag.get("outcome")) == (canary, None)
        assert REFUSED not in model.versions[canary]["tags"], "the canary is refused"
    runs = [run["id"] for run in workspace.prefect.runs.values()]
    assert len(runs) <= 1, "a second training was started"
    assert [one["flow_run_id"] for one in workspace.decisions() if one["outcome"] == STARTED] == runs


def check_moves(workspace: Workspace, before: dict[str, str]) -> None:
    """Check that the audit has a line for every alias that moved, whoever is named in it."""
    after = workspace.model.aliases
    moves = [moved for line in workspace.lines for moved in [line.evidence, *line.evidence.get("moved", [])]]
    for alias in (CHAMPION, CANARY):
        if before.get(alias) != after.get(alias):
            assert any(moved.get("alias") == alias and moved.get("to") == after.get(alias) for moved in moves), (
                f"{alias} went from {before.get(alias)} to {after.get(alias)}, and no line says so"
            )


def _champion(model: Model) -> dict[str, str]:
    return model.versions[model.aliases[CHAMPION]]["tags"]
