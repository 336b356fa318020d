"""Real Elasticsearch and OpenSearch for tests, one of each for the whole run, with an environment for each test.

def test_something(elk): connect(elk).search(...)
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from slipway.settings import Settings, settings
from tests.support import sharing
from tests.support.servers import free_port

START_SECONDS = 180  # measured 6 alone, and 20 more where the program fetches its jars first
# Elasticsearch compiles less, and collects garbage on one thread: its start costs 2 seconds of processor time, not 5
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
OPENSEARCH_PORTS = range(9251, 9300)  # the program starts on no other one


@pytest.fixture(scope="session")
def elasticsearch(needs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Provide the address of a real Elasticsearch 8.19 without security, ingest processors and ILM.

    The whole run shares it: a test writes only to streams of its own environment, which `elk` gives it.
    """
    return _shared("elasticsearch", needs, tmp_path_factory)


@pytest.fixture(scope="session")
def opensearch(needs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Provide the address of a real OpenSearch, which has ingest pipelines and `GET /_data_stream`.

    Elasticsearch's client refuses it, so tests send plain HTTP.
    """
    return _shared("opensearch", needs, tmp_path_factory, _free_port_of(OPENSEARCH_PORTS))


@pytest.fixture
def elk(elasticsearch: str, var: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Provide settings that lead to Elasticsearch, in an environment whose streams no other test writes."""
    monkeypatch.setenv("ELASTICSEARCH_URL", elasticsearch)
    monkeypatch.setenv("SLIPWAY_ENVIRONMENT", f"test-{uuid.uuid4().hex[:8]}")
    settings.cache_clear()
    return settings()


def start(program: Path, log: Path, *options: str, port: int | None = None) -> sharing.Started:
    """Start the program on a free port; returns the pid of its session's leader, and its address once it responds."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "--port", str(port), *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",  # the server's user may not enter the folder of the tests
            start_new_session=True,
            env=os.environ | ({"JAVA_TOOL_OPTIONS": JAVA_OPTIONS} if program.name == "elasticsearch" else {}),
        )
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            sharing.end_gently(process.pid)
            raise RuntimeError(f"{program.name} did not start in {START_SECONDS} s:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)
    return process.pid, url


def _shared(name: str, needs: Callable[[str], Path], factory: pytest.TempPathFactory, port: int | None = None) -> str:
    program = needs(name)
    return sharing.started(factory, name, lambda folder: start(program, folder / "server.log", port=port), gently=True)


def _free_port_of(ports: range) -> int:
    """Return a port of the range that is free now; at random, since several runs may choose at the same moment."""
    for port in random.sample(ports, len(ports)):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError(f"every port from {ports.start} to {ports.stop - 1} is in use")


def _is_ready(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/_cluster/health", timeout=2) as response:
        return b'"status":"red"' not in response.read()
    return False
