"""Stand-ins for external actions, in `tests/stand_in_actions`: which action a workflow uses, and what stands for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from slipway.errors import ServiceError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "stand_in_actions"
CHECKOUT = "actions/checkout"  # act copies the checkout itself
_USES = re.compile(r"^\s*(?:-\s+)?uses:\s*['\"]?([\w.-]+/[\w.-]+)(/[\w./-]+)?@(\S+?)['\"]?\s*(?:#.*)?$", re.MULTILINE)


def used(github: Path) -> set[tuple[str, str, str]]:
    """Find each external action (repository, path in it, ref) of the workflows and actions below `.github`."""
    files = [*github.glob("workflows/*.y*ml"), *github.glob("actions/*/action.y*ml")]
    return {(name, path.strip("/"), ref) for file in files for name, path, ref in _USES.findall(file.read_text())}


def options(github: Path) -> Iterator[str]:
    """Yield act's options that put the stand-ins in the place of the actions.

    Raises:
        ServiceError: an action has no stand-in.
    """
    for name, path, ref in sorted(used(github)):
        if name == CHECKOUT:
            continue
        if not (FOLDER / name / path / "action.yml").is_file():
            raise ServiceError(
                f"{name}{'/' if path else ''}{path} has no stand-in: write "
                f"{(FOLDER / name / path).relative_to(ROOT)}/action.yml, whose description says what it stands for."
            )
        yield f"--local-repository={name}@{ref}={FOLDER / name}"


def meanings(github: Path) -> dict[str, str]:
    """Describe by action what stands for it."""
    names = {f"{name}/{path}".rstrip("/") for name, path, _ in used(github)} - {CHECKOUT}
    return {name: _description(FOLDER / name / "action.yml") for name in sorted(names)}


def _description(action: Path) -> str:
    return " ".join(yaml.safe_load(action.read_text())["description"].split())
