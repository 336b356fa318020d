"""Context of a step: the device, the environment, and the folder in which steps leave what later ones need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Context:
    """`quick` is for a dry run: tiny sizes that only show that the step runs."""

    device: str
    environment: str
    lock: str
    folder: Path
    quick: bool = False

    @property
    def trained(self) -> Path:
        """Folder of the bundles of the built-in models, by use case; trained and exported on the CPU."""
        return self.folder / "trained"

    @property
    def networks(self) -> Path:
        """Folder of the bundles of the serving benchmark's image networks, by name."""
        return self.folder / "networks"

    def scores(self, kind: str, usecase: str) -> Path:
        """Name the file of a training's result; `kind` is the device that it is of: `gpu` or `cpu`."""
        return self.folder / "scores" / kind / f"{usecase}.json"

    def bundles(self) -> dict[str, Path]:
        """Return every bundle by name, in order."""
        folders = [path for parent in (self.trained, self.networks) for path in sorted(parent.glob("*"))]
        return {path.name: path for path in folders}
