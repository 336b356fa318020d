"""Doubles of programs: scripts on a PATH of their own, which record how they were called."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from infra.delivery.signatures.policy import SIGNATURE_TYPE

KUBECTL = Path(__file__).with_name("kubectl_double.py")
_RECORD = "printf '%s\\n' \"{name} $*\" >> {record}\n"


class Programs:
    """Folder of programs that come first on PATH."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._record = folder / "calls"
        folder.mkdir(parents=True)
        self._record.write_text("")
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def script(self, name: str, bash: str) -> None:
        """Add a program that runs these lines of bash after its call is recorded."""
        recorded = _RECORD.format(name=name, record=self._record)
        self._write(name, f"#!/usr/bin/env bash\n{recorded}{bash}\n")

    def cosign(self, *, commit: str, digests: Iterable[str], otherwise: str = "") -> None:
        """Add cosign, which finds signatures of these digests, and attestations of a build from the commit.

        `otherwise` are lines of bash that run before.
        """
        dependencies = [{"uri": "git+file:.", "digest": {"gitCommit": commit}}]
        statement = {"predicate": {"buildDefinition": {"resolvedDependencies": dependencies}}}
        envelope = {"payload": base64.b64encode(json.dumps(statement).encode()).decode()}
        claims = [
            {"critical": {"type": SIGNATURE_TYPE, "image": {"docker-manifest-digest": digest}}} for digest in digests
        ]
        answers = f"if [ \"$1\" = verify ]; then echo '{json.dumps(claims)}'; else echo '{json.dumps(envelope)}'; fi"
        self.script("cosign", f"{otherwise}\n{answers}")

    def kubectl(self, real: Path, **state: object) -> Path:
        """Add kubectl for a cluster whose state is in the returned file; `real` renders kustomizations."""
        path = self._folder / "cluster.json"
        path.write_text(json.dumps({"objects": {}, "revision": 0, **state}))
        recorded = _RECORD.format(name="kubectl", record=self._record)
        self._write(
            "kubectl", f'#!/usr/bin/env bash\n{recorded}exec {sys.executable} -S {KUBECTL} {real} {path} "$@"\n'
        )
        return path

    @property
    def calls(self) -> list[str]:
        """The calls of all programs, in order."""
        return self._record.read_text().splitlines()

    def _write(self, name: str, content: str) -> None:
        path = self._folder / name
        path.write_text(content)
        path.chmod(0o755)
