"""Scraper of the services' `/metrics`, at every address of `SLIPWAY_SERVERS`, into a history."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from monitoring.release.server_status import addresses
from monitoring.telemetry.exposition import ServiceMetrics, parse
from monitoring.telemetry.history import ServiceHistory
from slipway.clients.service import ServiceClient
from slipway.contracts.objectives import Objectives
from slipway.errors import ServiceError

TIMEOUT_SECONDS = 5.0
_AT_ONCE = 16
_NO_CREDENTIALS = (401, 403)


@dataclass(frozen=True)
class Scrape:
    """What one server responded with; `error` says why there are no metrics.

    A server that does not respond has no error here: the reconciler reports it.
    """

    address: str
    metrics: ServiceMetrics | None = None
    error: str = ""


Scrapes = Callable[[Iterable[str], Collection[str]], "list[Scrape]"]
"""Scrapes the servers of these URLs, for these use cases."""


class Scraper:
    """Scrapes all servers per call. It remembers what they counted, and the objectives that they exported last."""

    def __init__(self, urls: Collection[str], scrape: Scrapes | None = None) -> None:
        self.history = ServiceHistory()
        self.objectives: dict[str, Objectives] = {}
        self._urls = urls
        self._scrape = scrape or scrape_all

    def once(self, usecases: Collection[str], now: float) -> list[str]:
        """Scrape once; returns what is wrong, a line each."""
        found = self._scrape(self._urls, usecases)
        for scraped in found:
            if scraped.metrics:
                self.history.record(scraped.address, now, scraped.metrics.counts)
                self.objectives |= scraped.metrics.objectives
        self.history.forget(usecases, now)
        self.objectives = {name: one for name, one in self.objectives.items() if name in usecases}
        return list(dict.fromkeys(scraped.error for scraped in found if scraped.error))


def scrape_all(urls: Iterable[str], usecases: Collection[str]) -> list[Scrape]:
    """Scrape all servers at once: those that hang cost the time-out only once."""
    servers = [(url, address) for url in urls for address in addresses(url)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda server: scrape_one(*server, usecases), servers))


def scrape_one(url: str, address: str | None, usecases: Collection[str]) -> Scrape:
    """Scrape the server of a URL, or the one at this address of its host."""
    named = partial(Scrape, f"{url} {address}" if address else url)
    try:
        client = ServiceClient(url, TIMEOUT_SECONDS, address)
    except ServiceError as error:
        return named(error=str(error))
    try:
        answer = client.get("/metrics")
    except ServiceError:
        return named()
    finally:
        client.close()
    if answer.status in _NO_CREDENTIALS:
        return named(error=f"{url} refuses its metrics: set SLIPWAY_API_KEY to a key with the scope `read`.")
    if not answer.ok:
        return named(error=f"{url} answered /metrics with {answer.problem}")
    try:
        return named(parse(answer.response.content.decode(errors="replace"), usecases))
    except ServiceError as error:
        return named(error=f"{url}: {error}")
