"""Load of the scenario: steady requests in the background, and bursts of rows with labels, or of other kinds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitoring.labels.upload import served_schema
from scenarios.closed_loop import shifted_world
from scenarios.harness.jobs import Job, Jobs
from scenarios.traffic.generator import instances
from slipway.clients.service import ServiceClient
from slipway.config import UseCase
from slipway.errors import ServiceError

if TYPE_CHECKING:
    import pandas as pd

RATE = 30
FEW_LABELS = 0.03
BURST_ROWS, BURST_RATE = 500, 150
_MOST_SECONDS = 900
_HEAVY_ROWS, _HEAVY_CLIENTS = 1000, 8


class Load:
    """Clients of a use case; rows are the generator's, each of them new."""

    def __init__(self, jobs: Jobs, usecase: UseCase, url: str, folder: Path) -> None:
        self._jobs = jobs
        self._usecase = usecase
        self._url = url
        self._folder = folder
        self._seed = 1000
        self._steady: Job | None = None

    def start(self) -> None:
        """Start steady requests, few of which get a label."""
        self._steady = self._send(self._rows(RATE * _MOST_SECONDS), RATE, FEW_LABELS)

    def stop(self) -> None:
        """Stop the steady requests."""
        if self._steady:
            self._steady.interrupt()
            self._steady.result()
            self._steady = None

    def labelled_row(self) -> tuple[Mapping[str, Any], str]:
        """Make a row, with a label that it may have."""
        schema = served_schema(self._usecase.name, self._url)
        [row] = instances(schema, self._rows(1))
        return row, schema.classes[0]

    def burst(self, changed: bool = False) -> None:
        """Send labelled rows; `changed` ones are longer credits whose labels follow another rule."""
        frame = shifted_world.rows(self._usecase, BURST_ROWS, self._next_seed(), changed)
        if changed:
            frame["duration"] = frame["duration"] + 24
        self._send(frame, BURST_RATE, 1.0).result()

    @contextmanager
    def heavy(self) -> Iterator[None]:
        """Send requests of many rows from several clients for the length of the block."""
        schema = served_schema(self._usecase.name, self._url)
        rows = instances(schema, self._rows(_HEAVY_ROWS))
        with self._repeating(lambda client: client.post(self._path, {"instances": rows}), _HEAVY_CLIENTS):
            yield

    @contextmanager
    def invalid(self) -> Iterator[None]:
        """Send requests with an unknown feature for the length of the block."""
        body = {"instances": [{"no_feature": 1}]}
        with self._repeating(lambda client: client.post(self._path, body), clients=1, pause=0.02):
            yield

    @property
    def _path(self) -> str:
        return f"/v1/models/{self._usecase.name}/predict"

    @contextmanager
    def _repeating(self, send: Callable[[ServiceClient], Any], clients: int, pause: float = 0.0) -> Iterator[None]:
        stop = threading.Event()

        def repeat() -> None:
            client = ServiceClient(self._url)
            while not stop.wait(pause):
                try:
                    send(client)
                except ServiceError:
                    stop.wait(1.0)
            client.close()

        with ThreadPoolExecutor(clients) as pool:
            for _ in range(clients):
                pool.submit(repeat)
            try:
                yield
            finally:
                stop.set()

    def _rows(self, count: int) -> pd.DataFrame:
        return shifted_world.rows(self._usecase, count, self._next_seed(), changed=False)

    def _send(self, frame: pd.DataFrame, rate: float, labels: float) -> Job:
        path = self._folder / f"{self._seed}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path)
        argv = ["traffic", self._usecase.name, "--from", str(path), "--rate", str(rate), "--labels", str(labels)]
        return self._jobs.start(*argv)

    def _next_seed(self) -> int:
        self._seed += 1
        return self._seed
