"""Labels that follow their predictions after a delay, as in production."""

from __future__ import annotations

import threading
import time
from collections import deque

from monitoring.labels.upload import BATCH, Entry, post
from slipway.clients.service import ServiceClient
from slipway.errors import ServiceError

_POLL_SECONDS = 0.2


class DelayedLabels:
    """Thread that sends each label `delay` seconds after it was added, several in one request.

    `sent` and `failed` count entries, `reason` is why the last one failed.
    """

    def __init__(self, usecase: str, url: str, delay: float) -> None:
        self.sent = self.failed = 0
        self.reason = ""
        self._usecase = usecase
        self._client = ServiceClient(url)
        self._delay = delay
        self._queue: deque[tuple[float, Entry]] = deque()
        self._finishing = threading.Event()
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delayed-labels", daemon=True)
        self._thread.start()

    def add(self, entry: Entry) -> None:
        """Queue a label."""
        self._queue.append((time.monotonic() + self._delay, entry))

    def finish(self) -> None:
        """Wait until the last label is sent: up to the delay."""
        self._finishing.set()
        self._thread.join()

    def cancel(self) -> None:
        """Drop the labels that still wait, and stop."""
        self._cancelled.set()
        self._finishing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._cancelled.wait(_POLL_SECONDS):
            ending = self._finishing.is_set()
            while due := self._due():
                self._post(due)
            if ending and not self._queue:
                break
        self._client.close()

    def _due(self) -> list[Entry]:
        due = []
        while self._queue and len(due) < BATCH and self._queue[0][0] <= time.monotonic():
            due.append(self._queue.popleft()[1])
        return due

    def _post(self, entries: list[Entry]) -> None:
        try:
            post(self._client, self._usecase, entries)
            self.sent += len(entries)
        except ServiceError as error:
            self.failed += len(entries)
            self.reason = str(error)
