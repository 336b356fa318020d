from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from monitoring.release.reconciler import Reconciled
from monitoring.status import dashboard
from monitoring.status.app import application
from slipway.settings import settings
from tests.support.server_views import served
from tests.support.servers import free_port


@pytest.fixture
def page() -> Iterator[str]:
    """Serve a status page that shows version 1 at the first request, and version 2 from then on; yield its address."""
    first = dashboard.gather(settings(), [Reconciled("loans", {"champion": "1"}, [served("http://a", ["1"])])])
    second = replace(first, usecases=[replace(first.usecases[0], versions=["2"])])
    left = [first]
    app = application(settings(), lambda: left.pop() if left else second, lambda: True)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(10)


def test_the_page_renews_itself_under_its_own_content_policy(
    page: str, needs: Callable[[str], Path], tmp_path: Path
) -> None:
    command = [str(needs("chromium")), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    shown = subprocess.run(
        [*command, "--virtual-time-budget=8000", "--dump-dom", page], capture_output=True, text=True, timeout=120
    )
    assert "<strong>version 2</strong>" in shown.stdout, shown.stderr
    assert "<strong>version 1" not in shown.stdout
