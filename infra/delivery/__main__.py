"""Command `python -m infra.delivery VERB`: what the workflows run, and a person on a laptop."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from slipway.cli import run_program
from slipway.errors import suggestion

PROGRAM = "python -m infra.delivery"
VERBS = {
    "changes": "Say what a push changed: use cases, images, code.",
    "train": "Train a use case, and report its gates and its model card.",
    "build": "Build and push the images of this commit, and write release.json.",
    "sign": "Sign the images of a release, and attest their contents and origin.",
    "verify": "Verify signatures and attestations of a release.",
    "deploy": "Deploy a release to an environment, test it, and take it back if it fails.",
}


def main(arguments: Sequence[str]) -> int:
    """Run a verb, which exits; return the exit code if there is none to run."""
    verb, *rest = arguments or ("--help",)
    if verb in VERBS:
        run_program(importlib.import_module(f"infra.delivery.commands.{verb}").command, f"{PROGRAM} {verb}", rest)
    usage = "\n".join([f"Usage: {PROGRAM} VERB [OPTIONS]", "", *(f"  {name:10}{text}" for name, text in VERBS.items())])
    if verb in ("--help", "-h"):
        sys.stdout.write(f"{usage}\n")
        return 0
    sys.stderr.write(f"{usage}\n\nerror: there is no verb {verb!r}.{suggestion(verb, VERBS)}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
