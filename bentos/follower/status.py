"""Follower status: health warnings by topic, logged when they are new and written for the servers of this machine."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from slipway.errors import DamagedFile
from slipway.serving_state import follower_status
from slipway.serving_state.follower_status import FollowerStatus, HealthWarning
from slipway.settings import Settings
from slipway.texts import one_line
from slipway.timestamps import now_iso

STUCK_SECONDS = 300.0  # a poll takes at most as long as the download of the largest bundle
MAX_MESSAGE = 1000  # characters, of a text that may be a server's
_log = logging.getLogger("slipway.follower")


class StatusReporter:
    """The warnings of one use case's follower: at most one for each topic."""

    def __init__(self, serving: Path, usecase: str) -> None:
        self._serving = serving
        self._usecase = usecase
        self._warnings: dict[str, HealthWarning] = {}
        self._written: FollowerStatus | None = None

    def __contains__(self, topic: str) -> bool:
        return topic in self._warnings

    def warn(self, topic: str, message: str, *, log_changes: bool = True) -> None:
        """Set the topic's warning. It is logged when the topic is new, and with `log_changes` when its text changes."""
        message = one_line(message, MAX_MESSAGE)
        before = self._warnings.get(topic)
        if before is not None and before.message == message:
            return
        self._warnings[topic] = HealthWarning(message, before.since if before else now_iso())
        if log_changes or before is None:
            _log.warning("%s: %s", self._usecase, message)

    def clear(self, topic: str) -> None:
        self._warnings.pop(topic, None)

    def write(self) -> None:
        """Write the warnings where they changed, and set the file's time: it shows when the follower polled last."""
        status = FollowerStatus(dict(self._warnings), os.getpid())
        path = follower_status.status_path(self._serving, self._usecase)
        try:
            if status != self._written or not self._is_readable():
                follower_status.write_status(self._serving, self._usecase, status)
                self._written = status
            os.utime(path)
        except OSError as error:
            self.warn("volume", f"the follower's status cannot be written: {error}", log_changes=False)
        else:
            self.clear("volume")

    def _is_readable(self) -> bool:
        """Whether the file is there, and nothing else in its place."""
        with contextlib.suppress(DamagedFile):
            return follower_status.read_status(self._serving, self._usecase) is not None
        return False


def stuck_followers(usecases: Sequence[str], settings: Settings) -> list[str]:
    """Describe each use case whose follower on this machine does not poll; for a probe that has no port."""
    messages = []
    for usecase in usecases:
        path = follower_status.status_path(settings.serving, usecase)
        try:
            age = follower_status.age_seconds(settings.serving, usecase)
        except FileNotFoundError:
            messages.append(f"{usecase}: no follower has polled the registry yet: there is no {path}.")
            continue
        if follower_status.is_stale(age, STUCK_SECONDS):
            silence = follower_status.describe_silence(age)
            messages.append(
                f"{usecase}: the follower has not polled the registry {silence}: it hangs, or ended. Start it again."
            )
    return messages
