"""The log of a process: one form and one redaction for its own lines and those of its libraries.

tell = ecs_logging.start("watch")
tell("status page: http://127.0.0.1:8080")
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import TextIO

from slipway.ecs_logging.formatter import EcsFormatter, TextFormatter
from slipway.ecs_logging.redaction import Redaction
from slipway.ecs_logging.spool_handler import SpoolHandler
from slipway.settings import Settings, settings

_HAVE_HANDLERS = ("bentoml", "circus", "uvicorn", "uvicorn.error")  # of their own, with a form of their own
_CHATTY = {"httpx": logging.WARNING, "elastic_transport": logging.ERROR}  # a line for each request, and each retry


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what is standard error at the time of the record."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # else the stream of now would be kept

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def start(process: str, config: Settings | None = None) -> Callable[[str], None]:
    """Configure the log of this process, and return a function that logs a line as information.

    Lines go to standard error, as SLIPWAY_LOG_FORMAT says; and to the spool, where SLIPWAY_SPOOL_LOGS is set.
    """
    config = config or settings()
    redaction = Redaction.of(config, os.environ)
    as_ecs = EcsFormatter(process, config.environment, redaction)
    output = StderrHandler()
    output.setFormatter(as_ecs if _is_for_programs(config) else TextFormatter(process, redaction))
    handlers: list[logging.Handler] = [output]
    if config.spool_logs:
        spooled = SpoolHandler(config.spool, config.segment_seconds)
        spooled.setFormatter(as_ecs)
        handlers.append(spooled)
    _take_over(handlers)
    return logging.getLogger(f"slipway.{process}").info


def _is_for_programs(config: Settings) -> bool:
    if config.log_format == "auto":
        return not sys.stderr.isatty()
    return config.log_format == "ecs"


def _take_over(handlers: Iterable[logging.Handler]) -> None:
    """Replace the handlers that write to the output of this process; others, such as those of tests, stay."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, SpoolHandler) or getattr(handler, "stream", None) in (sys.stdout, sys.stderr):
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("slipway").setLevel(logging.INFO)
    for name, level in _CHATTY.items():
        logging.getLogger(name).setLevel(level)
    for name in _HAVE_HANDLERS:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
