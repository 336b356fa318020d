"""Where the loop plays: a state folder of its own, in it a use case that is quick where the original is patient."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from scenarios.closed_loop.shifted_world import WORLD
from slipway.errors import ServiceError, UseCaseError
from slipway.local import running

ROWS = 2000
WINDOW = 800
ENOUGH = 3000  # labelled rows
STAGES = (4, 25, 50, 100)
MIN_PREDICTIONS = 600  # enough to see five errors in a hundred before the second stage
_ROWS_THERE = "ROWS = 6000"

# Laid over the original's usecase.yaml, section by section.
CHANGES: dict[str, dict[str, Any]] = {
    "source": {"path": None, "sha256": None},
    "schedule": {"train": None, "monitor": None},
    "monitoring": {"window_rows": WINDOW, "min_rows": 200, "significance": 0.001},  # looked at every few seconds
    "retraining": {"min_labelled_rows": ENOUGH},
    # The new rule turns the directions round, and what a network makes of so few rows varies with all of its inputs.
    "gates": {"directions": {}, "invariant": []},
    "canary": {"stages": list(STAGES), "min_predictions": MIN_PREDICTIONS, "min_minutes": 0.05, "max_score_shift": 1.0},
}


def empty(var: Path) -> None:
    """Remove what an earlier loop left.

    Raises:
        ServiceError: it still runs.
    """
    if running(var):
        raise ServiceError(f"a loop runs from {var} already: it ends by itself, or by Ctrl-C where it was started.")
    shutil.rmtree(var, ignore_errors=True)


def original(usecases: Path) -> Path:
    """The folder of the use case that the loop plays on: one that knows another world.

    Raises:
        UseCaseError: none does.
    """
    found = sorted(usecases.glob(f"*/{WORLD}.py"))
    if not found:
        raise UseCaseError(f"the loop plays on a use case with a {WORLD}.py, and there is none in {usecases}.")
    return found[0].parent


def write(original: Path, usecases: Path) -> None:
    """Leave the loop's use case in `usecases`: the original with fewer rows, short stages and no patience.

    Raises:
        UseCaseError: its generator is not the one that is known here.
    """
    folder = usecases / original.name
    shutil.copytree(original, folder)
    data = (folder / "data.py").read_text()
    if _ROWS_THERE not in data:
        raise UseCaseError(f"{original}/data.py has no line `{_ROWS_THERE}`: the loop makes it {ROWS}, to be quick.")
    (folder / "data.py").write_text(data.replace(_ROWS_THERE, f"ROWS = {ROWS}"))
    content = yaml.safe_load((folder / "usecase.yaml").read_text())
    for section, keys in CHANGES.items():
        content[section] = {**content.get(section, {}), **keys}
    content["auto_promote"] = True
    (folder / "usecase.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
