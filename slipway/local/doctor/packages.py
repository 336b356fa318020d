"""Checks of packages: those that the extras name, and versions that are known not to work together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import metadata

from slipway.local.doctor.diagnosis import Diagnosis, error, ok, warning

# package, the first version that does not work, what breaks
INCOMPATIBLE = (
    ("sqlalchemy", (2, 1), "under it Prefect 3.8 starts, but no scheduled run is ever created"),
    ("pandas", (3, 0), "under it Evidently 0.7 cannot be imported"),
    ("fastapi", (0, 155), "under it the Prefect 3.8 server does not start"),
)
EXTRAS = ("serving", "shipping", "training", "monitoring")
Version = Callable[[str], str | None]


def installed(package: str) -> str | None:
    """Find the installed version of a package; None if there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def pairs(version: Version = installed) -> Iterator[Diagnosis]:
    """Check for known incompatible versions; no resolver finds them all, since some bounds are missing upstream."""
    for package, first_bad, breaks in INCOMPATIBLE:
        found = version(package)
        bound = ".".join(map(str, first_bad))
        if found and _numbers(found) >= first_bad:
            fix = f".venv/bin/uv pip install '{package}<{bound}'"
            yield error("packages", f"{package} {found}: {breaks}", fix)
        elif found:
            yield ok("packages", f"{package} {found} (below {bound})")


def extras(version: Version = installed) -> Iterator[Diagnosis]:
    """Check each extra for missing packages."""
    requirements = metadata.requires("slipway") or []
    for extra in EXTRAS:
        wanted = [_name(line) for line in requirements if re.search(rf"""extra == ['"]{extra}['"]""", line)]
        missing = sorted(name for name in wanted if name != "slipway" and version(name) is None)
        if missing:
            yield warning(
                "packages",
                f"extra {extra} is not installed: {', '.join(missing)} missing",
                f"rm -f .venv/.installed; make demo; or: .venv/bin/uv pip install -c locks/all.txt -e '.[{extra}]'",
            )
        else:
            yield ok("packages", f"extra {extra} is installed")


def _name(requirement: str) -> str:
    return re.findall(r"[A-Za-z0-9._-]+", requirement)[0]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
