"""Dashboards against Grafana's own types: `@grafana/schema`, by the TypeScript compiler."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from grafana.interpolation import DASHBOARDS, panels

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
MISTAKES = {
    '"graphTooltip": 1': '"graphTooltip": 7',
    '"colorMode": "value"': '"colorMode": "values"',
    '"hide": 2': '"hidden": 2',
    '"format": "table"': '"format": "tables"',
}
WRONG = ("Type '7'", '"values"', "hidden", '"tables"')  # as the compiler names them


def declarations() -> Iterator[str]:
    """Yield each dashboard and each panel as a constant of its type: only of a literal are unknown keys an error."""
    yield 'import type { Board, Panel } from "./dashboard";'
    for number, (name, dashboard) in enumerate(DASHBOARDS.items()):
        yield f"export const dashboard{number}: Board = {json.dumps(dashboard)};"
        for panel in panels(name):
            own = {
                "options": panel.get("options", {}),
                "custom": panel["fieldConfig"]["defaults"].get("custom", {}),
                "targets": panel["targets"],
            }
            kind = json.dumps(panel["type"])
            yield f"export const panel{number}_{panel['id']}: Panel<{kind}> = {json.dumps(own)};"


@pytest.fixture(scope="module")
def types(needs, tmp_path_factory) -> Path:
    """Install Grafana's types and the compiler, as the lock names them, into a folder of their own."""
    folder = tmp_path_factory.mktemp("types") / "types"
    shutil.copytree(ROOT / "grafana" / "types", folder)
    subprocess.run([needs("npm"), "ci", "--no-progress"], cwd=folder, capture_output=True, check=True)
    return folder


def compiled(types: Path, text: str) -> str:
    """Return what the compiler finds wrong with a text."""
    (types / "check.ts").write_text(text)
    compiler = types / "node_modules" / ".bin" / "tsc"
    return subprocess.run([compiler, "--project", types], capture_output=True, text=True, check=False).stdout


def test_dashboards_and_panels_have_grafanas_types(types):
    assert compiled(types, "\n".join(declarations())) == ""


def test_wrong_values_and_keys_are_found(types):
    text = "\n".join(declarations())
    for right, wrong in MISTAKES.items():
        assert right in text
        text = text.replace(right, wrong)
    found = compiled(types, text)
    assert [wrong for wrong in WRONG if wrong not in found] == []
