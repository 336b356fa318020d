"""Command `make -C grafana types`: check the dashboards against Grafana's own types by the TypeScript compiler.

Both are installed by npm, as the lock names them, which takes seconds: so this is a step of `make ci`, and no test.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from grafana.interpolation import DASHBOARDS, panels

ROOT = Path(__file__).resolve().parents[2]
# What is wrong in a second copy of the dashboards, and how the compiler names it: else it would check nothing.
MISTAKES = {
    '"graphTooltip": 1': ('"graphTooltip": 7', "Type '7'"),
    '"colorMode": "value"': ('"colorMode": "values"', '"values"'),
    '"hide": 2': ('"hidden": 2', "hidden"),
    '"format": "table"': ('"format": "tables"', '"tables"'),
}


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


def compiled(folder: Path, right: str, wrong: str) -> tuple[str, str]:
    """Return what the compiler finds in two texts."""
    types = folder / "types"
    shutil.copytree(ROOT / "grafana" / "types", types)
    subprocess.run(["npm", "ci", "--no-progress"], cwd=types, capture_output=True, check=True)
    (types / "right.ts").write_text(right)
    (types / "wrong.ts").write_text(wrong)
    compiler = [types / "node_modules" / ".bin" / "tsc", "--project", types]
    output = subprocess.run(compiler, cwd=types, capture_output=True, text=True, check=False).stdout
    errors = re.split(r"^(?=\S)", output, flags=re.MULTILINE)  # further lines of an error are indented
    of_wrong = [error for error in errors if error.startswith("wrong.ts")]
    return "".join(error for error in errors if error not in of_wrong), "".join(of_wrong)


def main() -> int:
    """Print what is wrong, and return the exit code."""
    right = wrong = "\n".join(declarations())
    for text, (mistake, _) in MISTAKES.items():
        wrong = wrong.replace(text, mistake)
    with tempfile.TemporaryDirectory() as folder:
        found, expected = compiled(Path(folder), right, wrong)
    missed = [mistake for mistake, name in MISTAKES.values() if name not in expected]
    sys.stdout.write(found + "".join(f"error: the compiler does not find {mistake}\n" for mistake in missed))
    return 1 if found or missed else 0


if __name__ == "__main__":
    sys.exit(main())
