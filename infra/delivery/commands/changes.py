"""`changes`: says what a push changed, for the jobs of a workflow to decide by."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def command(
    base: Annotated[str, typer.Option("--base", metavar="SHA", help="The commit before; zeros at a first push.")],
    head: Annotated[str, typer.Option("--head", metavar="SHA", help="The commit that was pushed.")] = "HEAD",
) -> None:
    """Print which use cases changed, and whether images or any code did; in GitHub Actions also as outputs.

    Where the commit before is not in this clone (a first push, or one that replaced the branch), everything counts as
    changed.
    """
    from dataclasses import asdict

    from infra.delivery import git
    from infra.delivery.changed_parts import changes, usecases
    from infra.delivery.github import write_output
    from slipway.console import say

    present = git.files(head)
    known = base != git.NO_COMMIT and git.has_commit(base)
    if not known:
        say(f"the commit before, {base}, is not in this clone: everything counts as changed")
    found = changes(git.changed_files(base, head) if known else present, usecases(present))
    for name, value in asdict(found).items():
        line = json.dumps(value)
        typer.echo(f"{name}={line}")
        write_output(name, line)
