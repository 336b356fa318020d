"""Git: the commit of this checkout, and the files that differ between two commits."""

from __future__ import annotations

from collections.abc import Sequence

from infra.delivery.program import ProgramFailed, run
from slipway.errors import SettingsError

NO_COMMIT = "0" * 40  # how GitHub names the commit before a branch's first


def clean_commit(paths: Sequence[str]) -> str:
    """Return the commit that is checked out.

    Raises:
        SettingsError: files at these paths differ from it, so that what is made of them would not be this commit's.
    """
    changed = run("git", "status", "--porcelain", "--", *paths).splitlines()
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise SettingsError(
            f"{changed[0].split(maxsplit=1)[1]}{more} differ from the commit that is checked out, and a release is of "
            "a commit: commit the changes, or set them aside with `git stash --include-untracked`."
        )
    return commit("HEAD")


def commit(name: str) -> str:
    """Return the full name of a commit; raises ProgramFailed if the clone does not have it."""
    return run("git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()


def has_commit(name: str) -> bool:
    """Tell whether this clone has the commit."""
    try:
        commit(name)
    except ProgramFailed:
        return False
    return True


def changed_files(base: str, head: str) -> list[str]:
    """List the files that two commits differ in; both names of one that was renamed."""
    return _names(run("git", "diff", "--name-only", "--no-renames", "-z", base, head))


def files(head: str) -> list[str]:
    """List all files of a commit."""
    return _names(run("git", "ls-tree", "-r", "--name-only", "-z", head))


def _names(output: str) -> list[str]:
    return [name for name in output.split("\0") if name]
