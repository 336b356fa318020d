"""Names and sizes of modules: standard terms of the field, few modules per folder, a docstring in each of them."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("slipway", "pipelines", "bentos", "monitoring", "scenarios")
# `pipelines/steps` has one module per step of a training, thirteen.
MOST_MODULES = 13
# Each told its reader less than the standard term that replaced it (docs/decisions/0007-layout.md).
PRIVATE_NAMES = """
    ablated altered asked automatic before beside board call callers capture captured changes checked choice choose
    compared content declared describe difference direct disk distort disturb door drawn facts fallen found heads home
    hot_path identity job joined judge judged labelled lag lines logged look moves near page place pointer
    production quiet reasons record replay rollouts sabotage said same scene seen sentences served shed side slots slow
    spooled standing states store succession swap tally told traced trial trouble under_load wanted watched whole wire
    words world
"""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def folders() -> dict[str, int]:
    """Count the modules of each folder, its `__init__` apart."""
    paths = [path for package in PACKAGES for path in modules(package) if path.name != "__init__.py"]
    return Counter(str(path.parent.relative_to(ROOT)) for path in paths)


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


@pytest.mark.parametrize("package", (*PACKAGES, "benchmarks", "elk", "grafana", "usecases"))
def test_no_module_and_no_folder_has_a_private_name(package):
    names = {part for path in modules(package) for part in path.relative_to(ROOT).with_suffix("").parts}
    assert names & set(PRIVATE_NAMES.split()) == set()


def test_no_folder_of_a_package_has_more_modules_than_a_reader_takes_in():
    crowded = {folder: count for folder, count in folders().items() if count > MOST_MODULES}
    assert crowded == {}


@pytest.mark.parametrize("package", (*PACKAGES, "benchmarks", "elk", "grafana", "usecases"))
def test_every_module_has_a_docstring(package):
    bare = [str(path.relative_to(ROOT)) for path in modules(package) if not docstring(path)]
    assert bare == []


@pytest.mark.parametrize("package", (*PACKAGES, "benchmarks", "elk", "grafana", "usecases"))
def test_the_first_line_about_a_package_is_complete(package):
    inits = [path for path in modules(package) if path.name == "__init__.py"]
    cut = [str(path.relative_to(ROOT)) for path in inits if not docstring(path).partition("\n")[0].endswith((".", ":"))]
    assert cut == []
