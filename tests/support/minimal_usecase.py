"""The least that a use case needs, for tests of what looks at all use cases."""

from __future__ import annotations

from pathlib import Path

_YAML = """
name: {name}
owner: tests
task: regression
source: {{generator: "data:load"}}
features: [{{name: age, kind: number}}]
target: {{name: risk}}
monitoring: {monitoring}
"""


def write_usecase(usecases: Path, name: str, monitoring: str = "{}") -> None:
    """Write a use case into the folder, with this `monitoring`."""
    (usecases / name).mkdir(parents=True, exist_ok=True)
    (usecases / name / "usecase.yaml").write_text(_YAML.format(name=name, monitoring=monitoring))
