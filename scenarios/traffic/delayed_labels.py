"""Labels that follow their predictions after a delay, as they do in the world."""

from __future__ import annotations

import threading
import time
from collections import deque

from monitoring.labels.upload import BATCH, Entry, post
from slipway.clients.service import ServiceClient
from slipway.errors import ServiceError

_EVERY_SECONDS = 0.2


class DelayedLabels:
    """Sends each entry `delay` seconds after it was added, several in one request.

    `sent` and `failed` count entries, `reason` is why the last one failed.
    """

    def __init__(self, usecase: str, url: str, delay: float) -> None:
        self.sent = self.failed = 0
        self.reason = ""
        self._usecase = usecase
        self._client = ServiceClient(url)
        self._delay = delay
        self._waiting: deque[tuple[float, Entry]] = deque()
        self._last = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="late-labels", daemon=True)
        self._thread.start()

    def add(self, entry: Entry) -> None:
        self._waiting.append((time.monotonic() + self._delay, entry))

    def finish(self) -> None:
        """Waits until the last label is sent: up to the delay."""
        self._last.set()
        self._thread.join()

    def give_up(self) -> None:
        """Sends no more: what still waits is dropped."""
        self._given_up.set()
        self._last.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._given_up.wait(_EVERY_SECONDS):
            ending = self._last.is_set()
            while due := self._due():
                self._post(due)
            if ending and not self._waiting:
                break
        self._client.close()

    def _due(self) -> list[Entry]:
        due = []
        while self._waiting and len(due) < BATCH and self._waiting[0][0] <= time.monotonic():
            due.append(self._waiting.popleft()[1])
        return due

    def _post(self, entries: list[Entry]) -> None:
        try:
            post(self._client, self._usecase, entries)
            self.sent += len(entries)
        except ServiceError as error:
            self.failed += len(entries)
            self.reason = str(error)
