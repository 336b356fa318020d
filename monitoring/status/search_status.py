"""Elasticsearch on the status page: whether it responds, and what its streams need."""

from __future__ import annotations

import time
from collections.abc import Callable

from monitoring.telemetry.collector import MonitoringServer, OtherServers
from slipway.clients.elasticsearch.connection import connect, is_configured
from slipway.clients.http import without_login
from slipway.errors import SlipwayError
from slipway.settings import Settings

SECONDS = 60.0
"""Interval of asking: it counts documents and reads what was refused."""
_TIMEOUT = 5.0


class SearchStatus:
    """What is known of Elasticsearch; it is asked when somebody looks, at most once in SECONDS."""

    def __init__(self, config: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._asked: float | None = None
        self._found = OtherServers()

    def look(self) -> OtherServers:
        """Return the server and what is wrong with its streams; nothing where none is configured."""
        if not is_configured(self._config):
            return self._found
        now = self._clock()
        if self._asked is None or now - self._asked >= SECONDS:
            self._found, self._asked = self._ask(), now
        return self._found

    def _ask(self) -> OtherServers:
        from monitoring.elk.status import status

        url = without_login(self._config.elasticsearch_url)
        try:
            found = status(connect(self._config, timeout=_TIMEOUT), self._config)
        except (SlipwayError, OSError) as error:
            problem = f"{error} Searches and Kibana do not show the newest events, which wait in the spool."
            return OtherServers([MonitoringServer("elasticsearch", url, False)], [problem])
        # A stream that has never had anything needs nothing
        known = [stream for stream in found.streams if stream.indices or stream.refused]
        problems = [*found.problems, *(f"{stream.stream}: {each}" for stream in known for each in stream.advice)]
        return OtherServers([MonitoringServer("elasticsearch", url, True)], problems)
