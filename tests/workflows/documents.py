"""The workflows and composite actions of .github/, as parsed YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)


@dataclass(frozen=True)
class Document:
    """A workflow or a composite action."""

    name: str
    text: str
    content: dict[Any, Any]

    @property
    def triggers(self) -> dict[str, Any]:
        """Return what starts the workflow; YAML 1.1 reads the key `on` as true."""
        found = self.content.get(True, self.content.get("on", {}))
        return found if isinstance(found, dict) else dict.fromkeys([found] if isinstance(found, str) else found)

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        return self.content.get("jobs", {})

    def steps(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each step with the place that it is in."""
        for job, content in self.jobs.items():
            yield from ((f"{self.name}: {job}", step) for step in content.get("steps", []))
        yield from ((self.name, step) for step in self.content.get("runs", {}).get("steps", []))

    def scripts(self) -> Iterator[str]:
        yield from (step["run"] for _, step in self.steps() if "run" in step)


def parse(name: str, text: str) -> Document:
    return Document(name, text, yaml.safe_load(text))


def read(path: Path) -> Document:
    return parse(str(path.relative_to(GITHUB)), path.read_text())


def workflow(name: str) -> Document:
    return read(GITHUB / "workflows" / f"{name}.yml")


def documents() -> list[Document]:
    return [read(path) for path in (*WORKFLOWS, *ACTIONS)]
