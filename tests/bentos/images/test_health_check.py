"""The HEALTHCHECK of the images, run here: it asks the service in its own container, never a proxy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import bentos.images

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_service_without_the_proxy_of_the_environment(status, expected):
    [command] = re.findall(r"HEALTHCHECK .*\n +CMD (\[.*\])", Path(bentos.images.__path__[0], "Dockerfile").read_text())
    asked = []

    class Service(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _, *arguments = json.loads(command)
        env = {**os.environ, "SLIPWAY_SERVICE_PORT": str(server.server_port), "http_proxy": "http://127.0.0.1:9"}
        ran = subprocess.run([sys.executable, *arguments], env={**env, "no_proxy": ""}, check=False)
        server.shutdown()
    assert (ran.returncode, asked) == (expected, ["/readyz"])
