"""Redaction of records before a handler of another library sends them away, as Prefect's does to its server."""

from __future__ import annotations

import logging

from slipway.ecs_logging.redaction import Redaction

_TRACEBACKS = logging.Formatter()


class RedactingFilter(logging.Filter):
    """Replaces message and traceback of each record by redacted ones; handlers that come later see these, too."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__()
        self._redaction = redaction

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._redaction(record.getMessage()), ()
        if record.exc_info and record.exc_info[0]:
            record.exc_text = self._redaction(_TRACEBACKS.formatException(record.exc_info))
        return True
