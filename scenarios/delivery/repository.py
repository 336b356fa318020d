"""Bare repository, a developer's clone of it, and the pushes that a hook reports."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import ServiceError

NAME, OWNER = "slipway", "example"
FULL_NAME = f"{OWNER}/{NAME}"
URL = f"https://github.com/{FULL_NAME}"
BRANCH = "main"
REF = f"refs/heads/{BRANCH}"
NO_COMMIT = "0" * 40  # before the first push of a branch
HOOK = "#!/bin/sh\n# A line for each branch that was pushed: BEFORE AFTER REF\ncat >> pushes\n"
UMASK = 0o022  # as on a runner; Docker builds a layer anew where files have other modes
IDENTITY = ("user.name=A developer", "user.email=developer@example.com", "commit.gpgsign=false")


@dataclass(frozen=True)
class Push:
    """A push to the branch, with the subject of its last commit."""

    before: str
    after: str
    subject: str

    @property
    def event(self) -> dict[str, Any]:
        """The event as GitHub sends it, as far as workflows read it."""
        return {
            "ref": REF,
            "before": self.before,
            "after": self.after,
            "created": self.before == NO_COMMIT,
            "deleted": False,
            "forced": False,
            "head_commit": {"id": self.after, "message": self.subject},
            "repository": {
                "name": NAME,
                "full_name": FULL_NAME,
                "html_url": URL,
                "default_branch": BRANCH,
                "owner": {"login": OWNER, "name": OWNER},
            },
        }


class Repository:
    """Repository in a folder, made of the last commit of `source`: `Repository(folder).create(source)`."""

    def __init__(self, folder: Path) -> None:
        self._bare = folder / f"{NAME}.git"
        self._developer = folder / "developer"

    def create(self, source: Path) -> None:
        """Make the empty repository, its hook, and the developer's clone of `source`, which is not pushed yet."""
        git("init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(self._bare))
        hook = self._bare / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOOK)
        hook.chmod(0o755)
        git("clone", "--quiet", "--shared", "--no-checkout", str(source), str(self._developer))
        self._git("checkout", "--quiet", "-B", BRANCH)
        self._git("remote", "set-url", "origin", str(self._bare))

    def push(self, subject: str, change: Callable[[Path], None]) -> Push:
        """Change the developer's checkout, commit and push it, and return what the hook was told.

        Raises:
            ServiceError: git refused a step.
        """
        change(self._developer)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", subject)
        self._git("push", "--quiet", "origin", BRANCH)
        before, after, ref = self._reported()
        if ref != REF:
            raise ServiceError(f"the hook reported a push to {ref}; the rehearsal pushes to {REF} alone.")
        return Push(before, after, subject)

    def revert(self, push: Push) -> Callable[[Path], None]:
        """Make the change that reverts the last commit of a push."""
        return lambda checkout: git("-C", str(checkout), "revert", "--no-commit", push.after)

    def checkout(self, push: Push, folder: Path) -> None:
        """Make a runner's checkout of a push; its remote repository is named as on GitHub."""
        shutil.rmtree(folder, ignore_errors=True)
        git("clone", "--quiet", "--shared", str(self._bare), str(folder))
        git("-C", str(folder), "checkout", "--quiet", "-B", BRANCH, push.after)
        git("-C", str(folder), "remote", "set-url", "origin", URL)

    def _reported(self) -> list[str]:
        reports = self._bare / "pushes"
        *_, last = reports.read_text().splitlines()
        return last.split()

    def _git(self, *args: str) -> None:
        git("-C", str(self._developer), *args)


def git(*args: str) -> str:
    """Run git as the developer, whatever the machine's own settings are, and return its output.

    Raises:
        ServiceError: git ended with an error; the message has its output.
    """
    command = ["git", *(part for setting in IDENTITY for part in ("-c", setting)), *args]
    done = subprocess.run(command, capture_output=True, text=True, umask=UMASK, check=False)
    if done.returncode:
        raise ServiceError(f"`git {' '.join(args)}` failed: {done.stderr.strip()[-500:]}")
    return done.stdout
