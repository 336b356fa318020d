"""Containers started by `docker run`, observed from outside and always removed after the test."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.support.servers import free_port

BASE = os.environ.get("SLIPWAY_TEST_BASE_IMAGE", "python:3.11-slim-bookworm")  # a tag, where no digest can be pulled
START_SECONDS = 120
READ_ONLY = ("--read-only", "--tmpfs=/tmp")
OPEN = ("--env=SLIPWAY_INSECURE=true",)


def docker(*args: str, check: bool = True) -> str:
    """Return what the command wrote to standard output."""
    ran = subprocess.run(["docker", *args], capture_output=True, text=True)
    assert ran.returncode == 0 or not check, f"docker {' '.join(args)}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def inspected(image: str) -> dict[str, Any]:
    return json.loads(docker("image", "inspect", image))[0]


def shell(image: str, script: str) -> str:
    """Return the output of a script in a container of the image, without a network."""
    return docker("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", script)


class Serving:
    """`docker run IMAGE`, in the background, on a port of this machine; with one worker, which answers for all."""

    def __init__(self, image: str, *options: str, args: tuple[str, ...] = ()) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        port = self.url.rsplit(":", 1)[1]
        fixed = ("--detach", f"--publish=127.0.0.1:{port}:3000", "--env=SLIPWAY_WORKERS=1")
        self.id = docker("run", *fixed, *options, image, *args).strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", "--volumes", self.id, check=False)

    @property
    def output(self) -> str:
        ran = subprocess.run(["docker", "logs", self.id], capture_output=True, text=True)
        return ran.stdout + ran.stderr

    @property
    def state(self) -> dict[str, Any]:
        return json.loads(docker("inspect", "--format={{json .State}}", self.id))

    def request(self, path: str, body: object = None, key: str | None = None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        content = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, content, headers), timeout=10) as found:
                return found.status, found.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def until(self, expected: int, path: str = "/readyz") -> bytes:
        """Return the answer, once its status is the expected one."""
        return self._until(lambda: self._answer(path, expected))

    def until_healthy(self) -> None:
        self._until(lambda: self.state["Health"]["Status"] == "healthy")

    def until_output(self, text: str) -> None:
        self._until(lambda: text in self.output)

    def until_ended(self) -> int:
        """Wait for the end and return the exit code."""
        self._until(lambda: self.state["Status"] == "exited")
        return self.state["ExitCode"]

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        docker("stop", "--time=60", self.id)
        return self.state["ExitCode"]

    def copy(self, path: str, to: Path) -> Path:
        docker("cp", f"{self.id}:{path}", str(to))
        return to

    def _answer(self, path: str, expected: int) -> bytes | None:
        try:
            status, body = self.request(path)
        except OSError:
            return None
        return body if status == expected else None

    def _until(self, found: Any) -> Any:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if (value := found()) not in (None, False):
                return value
            time.sleep(0.2)
        raise AssertionError(f"not within {START_SECONDS} s:\n{self.output}")
