"""Workspace of the closed loop: its own state folder with a copy of the use case that reacts within seconds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from scenarios.closed_loop.shifted_world import has_concept_drift
from slipway.errors import UseCaseError

ROWS = 2000
WINDOW = 800
MIN_LABELLED_ROWS = 3000
STAGES = (4, 25, 50, 100)
MIN_PREDICTIONS = 600  # enough to see five errors in a hundred before the second stage
_ORIGINAL_ROWS = "ROWS = 6000"

# Override the original's usecase.yaml, section by section.
CHANGES: dict[str, dict[str, Any]] = {
    "source": {"path": None, "sha256": None},
    "schedule": {"train": None, "monitor": None},
    "monitoring": {"window_rows": WINDOW, "min_rows": 200, "significance": 0.001},  # tested every few seconds
    "retraining": {"min_labelled_rows": MIN_LABELLED_ROWS},
    # The new rule reverses the directions, and a network that is fitted to so few rows varies with all of its inputs.
    "gates": {"directions": {}, "invariant": []},
    "canary": {"stages": list(STAGES), "min_predictions": MIN_PREDICTIONS, "min_minutes": 0.05, "max_score_shift": 1.0},
}


def original(usecases: Path) -> Path:
    """Find the folder of the first use case that has a concept drift.

    Raises:
        UseCaseError: none has.
    """
    folders = sorted(path.parent for path in usecases.glob("*/usecase.yaml") if has_concept_drift(path.parent.name))
    if not folders:
        raise UseCaseError(
            f"no use case in {usecases} has a concept drift: the closed loop needs a module "
            "scenarios/closed_loop/USECASE_concept_drift.py for one of them."
        )
    return folders[0]


def write(original: Path, usecases: Path) -> None:
    """Write the loop's copy of the use case to `usecases`, with fewer rows, short stages and low thresholds.

    Raises:
        UseCaseError: the module `data` of the original has no line that sets its number of rows.
    """
    folder = usecases / original.name
    shutil.copytree(original, folder)
    data = (folder / "data.py").read_text()
    if _ORIGINAL_ROWS not in data:
        raise UseCaseError(
            f"{original}/data.py has no line `{_ORIGINAL_ROWS}`, which the closed loop replaces by {ROWS} rows."
        )
    (folder / "data.py").write_text(data.replace(_ORIGINAL_ROWS, f"ROWS = {ROWS}"))
    content = yaml.safe_load((folder / "usecase.yaml").read_text())
    for section, keys in CHANGES.items():
        content[section] = {**content.get(section, {}), **keys}
    content["auto_promote"] = True
    (folder / "usecase.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
