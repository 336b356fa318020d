"""What a push changed, by the files that it changed: which use cases to train, and whether images are made anew."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

# What an image holds, how it is built, and the manifests by which it runs.
RELEASED = (
    *("slipway/", "pipelines/", "bentos/", "monitoring/", "elk/", "usecases/"),
    *("locks/", "infra/images/", "infra/kubernetes/", ".dockerignore", "Makefile"),
)
_FIGURES = (".png", ".svg")
_USECASE = re.compile(r"usecases/([^/]+)/")


@dataclass(frozen=True)
class Changes:
    """What follows from a push.

    `usecases` are trained. With `images`, images are built, signed and deployed. Without `code`, only documentation
    changed.
    """

    usecases: tuple[str, ...]
    images: bool
    code: bool


def changes(changed: Iterable[str], present: Iterable[str]) -> Changes:
    """Decide from the paths that changed; `present` are the use cases that there are now.

    >>> changes(["usecases/loans/model.py", "README.md"], ["loans", "digits"])
    Changes(usecases=('loans',), images=True, code=True)
    """
    paths = [path for path in changed if not is_documentation(path)]
    folders = {found[1] for path in paths if (found := _USECASE.match(path))}
    return Changes(
        usecases=tuple(sorted(folders & set(present))),
        images=any(path.startswith(RELEASED) for path in paths),
        code=bool(paths),
    )


def usecases(paths: Iterable[str]) -> set[str]:
    """List the use cases among all files of a commit: the folders with a `usecase.yaml`."""
    return {found[1] for path in paths if (found := _USECASE.match(path)) and path == f"{found[0]}usecase.yaml"}


def is_documentation(path: str) -> bool:
    """Tell whether a file is read by people only."""
    suffix = PurePosixPath(path).suffix
    return suffix == ".md" or (suffix in _FIGURES and path.startswith("docs/")) or path == "LICENSE"
