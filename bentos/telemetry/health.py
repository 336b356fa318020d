"""Conditions: what around the models is not as it should be, each with what to do about it, for `/readyz` and the log.

None of them keeps a model that serves from serving. A thread looks; a probe reads what it found.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bentos.telemetry.metrics import Metrics
from slipway.errors import BundleError
from slipway.serving_state import follower_status
from slipway.settings import Settings

LOOK_SECONDS = 1.0
_TOPICS = ("registry", "alias", "clock", "volume", "trouble")  # of bentos.follower.follower
STALE_SECONDS = 60.0  # a follower looks every two seconds, but for while a bundle comes
_PROBE = b"\0" * 4096  # a full volume may take a name, and no content
_log = logging.getLogger("slipway.serving")


class HealthChecks:
    """`machine` is what is wrong for every use case, `of(usecase)` what the follower found for one."""

    def __init__(self, settings: Settings, names: Sequence[str], metrics: Metrics) -> None:
        self.machine: list[str] = []
        self._settings = settings
        self._metrics = metrics
        self._found: dict[str, list[str]] = {name: [] for name in names}
        self._volumes = {
            settings.spool: "the prediction log cannot be written: answers are not kept, with log: required not given",
            settings.serving: "what the workers serve cannot be noted: it serves all the same",
        }
        self._broken: set[Path] = set()

    def of(self, usecase: str) -> list[str]:
        return self._found[usecase]

    def look(self) -> None:
        self.machine = [*self._of_volumes(), *self._of_secrets()]
        for usecase in self._found:
            self._found[usecase] = [*self._of_follower(usecase), *_refusals(self._settings.serving, usecase)]

    def missing(self, usecase: str) -> str | None:
        """Why nothing of the use case will ever come: neither the image nor a registry has it. None: something may."""
        folder = self._settings.packaged
        packaged = sorted(path.name for path in folder.iterdir()) if folder and folder.is_dir() else []
        if usecase in packaged:
            return None
        image = f"this image packages {', '.join(packaged)}" if packaged else "no bundle is packaged here"
        if not self._settings.has_registry:
            return (
                f"{image}, and no registry is configured: take the image of {usecase}, name in SLIPWAY_SERVE what is "
                "packaged, or set MLFLOW_TRACKING_URI."
            )
        return f"{image}, not {usecase}: only the registry can bring it." if packaged else None

    def _of_volumes(self) -> list[str]:
        found = []
        for folder, meaning in self._volumes.items():
            error = _unwritable(folder)
            if error is None:
                if folder in self._broken:
                    _log.info("%s can be written again.", folder)
                self._broken.discard(folder)
                continue
            said = f"{meaning} ({folder}: {error.strerror}). Free space on that volume, or mount another."
            if folder not in self._broken:
                _log.error("%s", said)
            self._broken.add(folder)
            found.append(said)
        return found

    def _of_secrets(self) -> list[str]:
        if not self._settings.container or self._settings.mask_key is not None:
            return []
        return [
            "SLIPWAY_MASK_KEY is not set: the keys of rows in the log are masked by a secret that this container made, "
            "so they are those of no training and no other container. Set it to training's."
        ]

    def _of_follower(self, usecase: str) -> list[str]:
        if self._settings.bundle is not None:
            return []
        try:
            findings = follower_status.read_status(self._settings.serving, usecase)
            age = time.time() - follower_status.status_path(self._settings.serving, usecase).stat().st_mtime
        except (OSError, BundleError):
            return []
        if findings is None:
            return []
        if findings.clock_offset is not None:
            self._metrics.of(self._metrics.clock_offset, usecase).set(findings.clock_offset)
        wrong = {topic: topic in findings.topics for topic in _TOPICS} | {"hung": age > STALE_SECONDS}
        for topic, is_wrong in wrong.items():
            self._metrics.of(self._metrics.follower_finding, usecase, topic).set(float(is_wrong))
        said = [f"{finding.message} (since {finding.since})" for finding in findings.topics.values()]
        if age > STALE_SECONDS:
            said.append(f"the follower looked {age:.0f} s ago: start `slipway follow {usecase}` again.")
        return said


def _refusals(serving: Path, usecase: str) -> list[str]:
    with contextlib.suppress(OSError, BundleError):
        refused = follower_status.read_refusals(serving, usecase).values()
        return [f"version {one.version} ({one.alias}) is refused: {one.reason}" for one in refused]
    return []


def _unwritable(folder: Path) -> OSError | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(_PROBE)
    except OSError as error:
        return error
    return None
