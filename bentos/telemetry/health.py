"""Health checks around the models (volumes, secrets, follower), each with what to do, for `/readyz` and the log.

None of them keeps a model that serves from serving. A thread runs the checks; a probe reads their last result.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from bentos.telemetry.metrics import Metrics
from slipway.errors import DamagedFile
from slipway.serving_state import follower_status
from slipway.settings import Settings
from slipway.telemetry.disks import DiskMetrics

CHECK_SECONDS = 1.0
STALE_SECONDS = 60.0  # a follower polls every two seconds, except while a bundle is downloaded
_TOPICS = ("registry", "alias", "volume", "trouble")  # of bentos.follower.follower's warnings
_TEST_CONTENT = b"\0" * 4096  # a full volume may take a file's name, but no content
_log = logging.getLogger("slipway.serving")


class HealthChecks:
    """The warnings of the last `run`: `machine` for every use case, `of(usecase)` for one."""

    def __init__(self, settings: Settings, names: Sequence[str], metrics: Metrics) -> None:
        self.machine: list[str] = []
        self._settings = settings
        self._metrics = metrics
        self._warnings: dict[str, list[str]] = {name: [] for name in names}
        self._volumes = {
            settings.spool: "the prediction log cannot be written: predictions are answered without being logged, or "
            "refused with log: required",
            settings.serving: "the workers' state cannot be written: predictions are answered all the same",
        }
        self._broken: set[Path] = set()
        self.disks = DiskMetrics(_measured_folders(settings))

    def of(self, usecase: str) -> list[str]:
        return self._warnings[usecase]

    def add(self, usecase: str) -> None:
        """Check a further use case, from the next `run` on."""
        self._warnings[usecase] = []

    def run(self) -> None:
        self.machine = [*self._check_volumes(), *self._check_secrets()]
        self.disks.measure()
        for usecase in self._warnings:
            self._warnings[usecase] = [*self._check_follower(usecase), *_refusals(self._settings.serving, usecase)]

    def missing_source(self, usecase: str) -> str | None:
        """Explain why no bundle of the use case can ever come: neither image nor registry has it. None if one may."""
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

    def _check_volumes(self) -> list[str]:
        warnings = []
        for folder, effect in self._volumes.items():
            error = _write_error(folder)
            if error is None:
                if folder in self._broken:
                    _log.info("%s can be written again.", folder)
                self._broken.discard(folder)
                continue
            warning = f"{effect} ({folder}: {error.strerror}). Free space on that volume, or mount another."
            if folder not in self._broken:
                _log.error("%s", warning)
            self._broken.add(folder)
            warnings.append(warning)
        return warnings

    def _check_secrets(self) -> list[str]:
        if not self._settings.container or self._settings.mask_key is not None:
            return []
        return [
            "SLIPWAY_MASK_KEY is not set: keys of rows in the log are masked by a secret that this container made, "
            "so they match those of no training and no other container. Set it to the secret of the training."
        ]

    def _check_follower(self, usecase: str) -> list[str]:
        if self._settings.bundle is not None:
            return []
        try:
            status = follower_status.read_status(self._settings.serving, usecase)
            age = follower_status.age_seconds(self._settings.serving, usecase)
        except DamagedFile as error:
            return [str(error)]
        except OSError:
            status, age = None, 0.0
        if status is None:
            if self._settings.has_registry:  # which the findings' series tell, be they 0
                self._export_findings(usecase, ())
            return []
        warnings = [f"{warning.message} (since {warning.since})" for warning in status.topics.values()]
        hung = follower_status.is_stale(age, STALE_SECONDS)
        if hung:
            silence = follower_status.describe_silence(age)
            warnings.append(
                f"the follower has not polled the registry {silence}: start `slipway follow {usecase}` again."
            )
        self._export_findings(usecase, (*status.topics, *(["hung"] if hung else [])))
        return warnings

    def _export_findings(self, usecase: str, active: Collection[str]) -> None:
        for topic in (*_TOPICS, "hung"):
            self._metrics.of(self._metrics.follower_finding, usecase, topic).set(float(topic in active))


def _refusals(serving: Path, usecase: str) -> list[str]:
    try:
        refused = follower_status.read_refusals(serving, usecase).values()
    except DamagedFile as error:
        return [str(error)]
    return [f"version {one.version} ({one.alias}) is refused: {one.reason}" for one in refused]


def _measured_folders(settings: Settings) -> dict[str, Path]:
    """The folders that the service writes to; a log in a bucket has no volume."""
    log = {} if "://" in settings.log_root else {"log": Path(settings.log_root)}
    return {"state": settings.var, "tmp": Path(tempfile.gettempdir()), **log}


def _write_error(folder: Path) -> OSError | None:
    """Write a test file without a name, and return the error that this raises."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(_TEST_CONTENT)
    except OSError as error:
        return error
    return None
