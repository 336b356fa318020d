"""Elasticsearch of the figures: a node of its own, which can be stopped and started again on the same data."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from elasticsearch import Elasticsearch

from monitoring.elk.setup import apply, plan
from slipway.clients.elasticsearch import streams
from slipway.clients.http import is_healthy
from slipway.settings import Settings
from slipway.system.ports import free_port
from slipway.system.processes import Process, RunningProcess

PROGRAM = "SLIPWAY_TEST_ELASTICSEARCH"
INSTALLATION = (
    f"set {PROGRAM} to a program whose `--port PORT --home FOLDER` runs Elasticsearch 8.19, without security and with "
    "its data in the folder, until it is stopped"
)
START_SECONDS, STOP_SECONDS = 180.0, 60.0


class Node:
    """A node that responds at the address."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = Elasticsearch(url, request_timeout=120, max_retries=0)

    def environment(self, home: Path, name: str) -> dict[str, str]:
        """Make the settings of a process with this state folder and this environment, which ships to the node."""
        return {
            "SLIPWAY_VAR": str(home / "var"),
            "SLIPWAY_USECASES": str(home / "usecases"),
            "SLIPWAY_ENVIRONMENT": name,
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            "ELASTICSEARCH_URL": self.url,
        }

    def set_up(self, environment: Mapping[str, str]) -> str:
        """Write the templates of an environment, as `slipway elk setup` does; returns its stream of predictions."""
        config = Settings(environment=environment["SLIPWAY_ENVIRONMENT"], ELASTICSEARCH_URL=self.url)
        apply(self.client, config, plan(self.client, config), lambda _: None)
        return streams.stream(streams.PREDICTION, config)

    def count(self, stream: str) -> int:
        """Count the documents of a stream that are there now."""
        self.client.indices.refresh(index=stream)
        return int(self.client.count(index=stream)["count"])

    def mapping(self, stream: str) -> str:
        """Return the mappings of the stream's indices as JSON."""
        return json.dumps(self._mappings(stream), sort_keys=True)

    def _mappings(self, stream: str) -> dict[str, Any]:
        return {name: one["mappings"] for name, one in self.client.indices.get_mapping(index=stream).items()}


class OwnNode(Node):
    """A node with its data in a folder, which another user must be able to enter: it does not run as root."""

    def __init__(self, program: str, folder: Path) -> None:
        port = free_port(9300)
        super().__init__(f"http://127.0.0.1:{port}")
        argv = (program, "--port", str(port), "--home", str(folder / "elasticsearch"))
        health = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=1s"
        self._process = Process("elasticsearch", argv, folder / "elasticsearch.log", health_url=health)
        self._running: RunningProcess | None = None

    def start(self) -> None:
        """Start it, and wait until it takes documents."""
        self._running = RunningProcess(self._process)
        self._running.wait_ready(START_SECONDS, is_healthy)

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._running is not None:
            self._running.stop(STOP_SECONDS)
            self._running = None


def find_program() -> str | None:
    """Find the program that runs a node; None where there is none."""
    return shutil.which(os.environ.get(PROGRAM, ""))


@contextmanager
def started(program: str) -> Iterator[OwnNode]:
    """Start a node on a new folder, which is removed after the block."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o711)
        node = OwnNode(program, folder)
        try:
            node.start()
            yield node
        finally:
            node.client.close()
            node.stop()
