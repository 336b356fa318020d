"""Errors of a step that runs again and again: none ends the loop, and one that lasts is logged once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class RepeatedErrors:
    """Logs what a step raises, and again only after it raised something else or nothing. `task` names the step."""

    def __init__(self, log: logging.Logger, task: str) -> None:
        self._log = log
        self._task = task
        self._last = ""

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Run the block, and log its error in place of raising it."""
        try:
            yield
        except Exception as error:  # whatever failed once may work the next time
            if repr(error) != self._last:
                self._log.exception("%s failed; it is tried again", self._task)
            self._last = repr(error)
        else:
            self._last = ""
