"""Which Terraform modules there are: a folder added below infra/terraform/modules is tested as the others are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "infra" / "terraform"
MODULES_FOLDER = FOLDER / "modules"
MODULES = sorted(path.name for path in MODULES_FOLDER.iterdir() if path.is_dir())


def text_of_tests(module: str) -> str:
    """Return the text of all test files of a module."""
    paths = sorted((MODULES_FOLDER / module / "tests").glob("*.tftest.hcl"))
    return "\n".join(path.read_text() for path in paths)
