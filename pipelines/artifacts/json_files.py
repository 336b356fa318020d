"""JSON files of a run: written readable for people, read into typed records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec

History = dict[str, list[float]]
_HISTORY = "history.json"


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """JSON file `FILE` of a step's directory. Unknown fields are ignored, as another release may have written them."""

    FILE: ClassVar[str]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the file in `directory`.

        Raises:
            msgspec.ValidationError: a field is missing or of another type.
        """
        return msgspec.convert(read_json(directory / cls.FILE), cls)

    def write(self, directory: Path) -> None:
        """Write the file into `directory`."""
        self.write_file(directory / self.FILE)

    def write_file(self, path: Path) -> None:
        """Write the record into the file `path`."""
        write_json(path, msgspec.to_builtins(self))


def read_history(directory: Path) -> History:
    """Read `history.json`: losses and errors of training and validation, one value per epoch."""
    return msgspec.convert(read_json(directory / _HISTORY), History)


def write_history(directory: Path, history: History) -> None:
    """Write `history.json` into `directory`."""
    write_json(directory / _HISTORY, history)


def read_json(path: Path) -> Any:
    """Read a JSON file; unlike msgspec's decoder this accepts NaN."""
    return json.loads(path.read_text())


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys and indentation."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
