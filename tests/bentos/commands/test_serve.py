"""`slipway serve`: what it refuses before anything starts, and what it starts, promotes and ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from bentos.commands import serve as serve_command
from bentos.follower import bundle_resolver
from bentos.launcher import curl_example, launcher
from slipway.clients import http
from slipway.clients.mlflow.registry import Registry
from slipway.errors import BundleError
from slipway.serving_state import additions
from slipway.settings import Settings, settings
from tests.support import bundles
from tests.support.servers import free_port, publish, unique_name


class Served:
    """`slipway serve …` as a process of its own; `output` is all that it printed."""

    def __init__(self, folder: Path, *args: str, **env: str) -> None:
        self.port = free_port()
        self._log = folder / f"serve-{self.port}.log"
        command = [sys.executable, "-m", "slipway.cli", "serve", *args, "--port", str(self.port), "--workers", "1"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=os.environ | env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def until(self, true: Callable[[], object], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)

    def announced(self) -> Served:
        self.until(lambda: "Try:" in self.output and self.output.endswith("\n"))
        return self

    def version(self, name: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/models/{name}", timeout=10) as answer:
            return json.loads(answer.read())["version"]

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(40)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    with ExitStack() as running:

        def start(*args: str, **env: str) -> Served:
            served = Served(tmp_path, *args, **env)
            running.callback(served.end)
            return served

        yield start


def gone(processes: list[psutil.Process], seconds: float = 20) -> bool:
    return not psutil.wait_procs(processes, timeout=seconds)[1]


def setting(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()


@pytest.fixture
def loans(tmp_path: Path) -> str:
    bundles.write(tmp_path / "loans")
    return str(tmp_path / "loans")


def test_other_addresses_than_loopback_need_credentials(cli, loans) -> None:
    ran = cli("serve", "--bundle", loans, "--host", "0.0.0.0")
    assert ran.code == 1 and "SLIPWAY_INSECURE=true" in ran.err


def test_a_container_without_credentials_is_not_to_be_restarted(cli, loans, monkeypatch) -> None:
    setting(monkeypatch, SLIPWAY_CONTAINER="true")
    ran = cli("serve", "--bundle", loans)
    assert ran.code == 78 and "SLIPWAY_INSECURE=true" in ran.err


def test_a_taken_port_names_a_free_one(cli, loans) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = cli("serve", "--bundle", loans, "--port", str(port))
    assert ran.code == 1 and f"port {port} on 127.0.0.1 is taken" in ran.err
    assert re.search(r"slipway serve loans --port \d+", ran.err)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name one or more use cases"),
        (("loans", "--bundle", "x", "--version", "1"), "exclude each other"),
        (("loans", "shapes", "--version", "1"), "--version is of one use case; 2 are named"),
        (("loans", "--device", "tpu"), "'tpu' is not one of"),
        (("loans", "--port", "0"), "0 is not in the range"),
    ],
)
def test_wrong_usage_is_reported(cli, args, message) -> None:
    ran = cli("serve", *args)
    assert ran.code == 2 and message in ran.err


def test_a_bundle_of_another_use_case_is_refused(cli, loans) -> None:
    ran = cli("serve", "shapes", "--bundle", loans)
    assert ran.code == 2 and "the bundle is of loans, not of shapes" in ran.err


def test_a_broken_bundle_is_refused_before_anything_starts(cli, loans) -> None:
    (Path(loans) / "serve" / "model.onnx").write_bytes(b"something else")
    ran = cli("serve", "--bundle", loans)
    assert ran.code == 1 and "is not what was registered" in ran.err


def test_without_a_champion_it_names_the_promote_command_to_run(cli, mlflow_server, tmp_path, monkeypatch) -> None:
    setting(monkeypatch, MLFLOW_TRACKING_URI=mlflow_server, SLIPWAY_SERVICE_PORT=str(free_port()))
    name = unique_name("loans")
    unknown = cli("serve", name)
    assert unknown.code == 1 and f"slipway train {name}" in unknown.err
    for bias, gate in ((0.0, "passed"), (1.0, "refused")):
        bundles.write(tmp_path / gate, named(name), bias=bias, passed=gate == "passed")
        publish(mlflow_server, name, tmp_path / gate, tags={"slipway.gate": gate})
    waiting = cli("serve", name)
    assert waiting.code == 1 and waiting.err.endswith(f"slipway promote {name} 1\n")
    Registry(mlflow_server).set_alias(name, "champion", "2")
    failed = cli("serve", name)
    assert failed.code == 1 and f"{name} version 2 is refused: its gates failed" in failed.err
    near = cli("serve", name[:-1])
    assert near.code == 1 and f"Did you mean {name!r}?" in near.err


def test_a_champion_that_cannot_be_served_keeps_no_other_from_it_where_it_may_come_later(tmp_path, monkeypatch) -> None:
    def resolve(name: str, config: Settings) -> None:
        if name.startswith("broken"):
            raise BundleError(f"{name} is broken")

    monkeypatch.setattr(bundle_resolver, "resolve_champion", resolve)
    with pytest.raises(BundleError, match="broken_b is broken"):
        serve_command._fetch_champions(["loans", "broken_b"], settings())
    named = settings().model_copy(update={"serve_file": tmp_path / "more.txt"})
    assert serve_command._fetch_champions(["broken_a", "loans", "broken_b"], named) == ["loans"]
    assert additions.read(named.serve_file) == ("broken_a", "broken_b")
    with pytest.raises(BundleError, match="broken_a is broken"):
        serve_command._fetch_champions(["broken_a"], named)


def test_a_registry_that_does_not_answer_is_reported(cli, monkeypatch) -> None:
    setting(monkeypatch, SLIPWAY_SERVICE_PORT=str(free_port()))
    ran = cli("serve", "loans")
    assert ran.code == 1 and "does not respond" in ran.err


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("read", "slipway promote loans"), ("admin", "slipway promote loans"), ("predict", "a use case has no model")],
)
def test_what_a_use_case_waits_for_is_asked_for_with_this_machines_key(
    start_client, key, monkeypatch, scope, expected
) -> None:
    setting(monkeypatch, SLIPWAY_API_KEY=key("me", scope))
    client = start_client(promote=False)

    def request(method: str, url: str, *, headers: dict[str, str], **_: object) -> http.Response:
        sent = {name.lower(): value for name, value in headers.items()}
        answer = client.get(url.removeprefix(launcher.service_url(settings())), **sent)
        return http.Response(answer.status, answer.body)

    monkeypatch.setattr(http, "request", request)
    ready, waits_for = launcher._readiness(settings())
    assert not ready and expected in waits_for


def test_it_serves_the_champion_and_the_next_one_and_its_curl_line_works(serve, needs, mlflow_server, tmp_path) -> None:
    needs("curl")
    name, registry = unique_name("loans"), Registry(mlflow_server)
    for bias in (0, 1):
        bundles.write(tmp_path / str(bias), named(name), bias=float(bias))
        publish(mlflow_server, name, tmp_path / str(bias))
    registry.set_alias(name, "champion", "1")
    served = serve(name, MLFLOW_TRACKING_URI=mlflow_server, SLIPWAY_FOLLOW_SECONDS="0.2").announced()
    assert "serving on 127.0.0.1 only" in served.output and f"{name} version 1 is served" in served.output
    answer = json.loads(subprocess.check_output(["bash", "-c", pasted(served)], text=True))
    assert answer["model"] == {"name": name, "version": "1"} and len(answer["predictions"]) == 1
    registry.set_alias(name, "champion", "2")
    served.until(lambda: served.version(name) == "2")
    children = served.descendants()
    assert served.end() == 0, served.output
    assert gone(children) and "Traceback" not in served.output


def test_a_killed_follower_is_restarted_and_a_killed_parent_leaves_no_processes(serve, mlflow_server, tmp_path) -> None:
    name, registry = unique_name("loans"), Registry(mlflow_server)
    bundles.write(tmp_path / "one", named(name))
    registry.set_alias(name, "champion", publish(mlflow_server, name, tmp_path / "one"))
    served = serve(name, MLFLOW_TRACKING_URI=mlflow_server).announced()
    follower_of(served).kill()
    served.until(lambda: "starting it again" in served.output)
    served.until(lambda: follower_of(served))
    children = served.descendants()
    assert len(children) >= 3, "a follower, a supervisor and a worker"
    assert served.end(signal.SIGKILL) == -signal.SIGKILL
    assert gone(children)


def test_a_bundle_needs_no_registry_and_an_image_is_sent_as_a_file(serve, needs, tmp_path) -> None:
    needs("curl")
    bundles.write(tmp_path / "shapes", bundles.IMAGES)
    served = serve("--bundle", str(tmp_path / "shapes")).announced()
    assert "-F image=@" in pasted(served)
    answer = json.loads(subprocess.check_output(["bash", "-c", pasted(served)], text=True))
    assert answer["predictions"][0]["label"] in bundles.IMAGES.classes
    assert follower_of(served) is None
    assert served.end(signal.SIGINT) == 0


def test_a_service_that_ends_by_itself_is_an_error(serve, loans) -> None:
    served = serve("--bundle", loans).announced()
    supervisor = next(one for one in served.descendants() if "bentoml" in " ".join(one.cmdline()))
    supervisor.kill()
    assert served.process.wait(40) == 1
    assert "error: the service ended by itself" in served.output


def test_a_long_example_is_written_to_a_file(tmp_path) -> None:
    schema = {"features": [{"name": "text", "kind": "category"}], "examples": [{"text": "it's " * 2000}]}
    line = curl_example.curl_command("http://x", "loans", schema, tmp_path)
    assert line.endswith(f"-d @{tmp_path / 'example.json'}") and "-H 'X-Slipway-Test: true'" in line
    assert json.loads((tmp_path / "example.json").read_text()) == {"instances": schema["examples"]}


def test_a_token_is_left_out_of_the_curl_line(tmp_path) -> None:
    features = [{"name": "job", "kind": "category"}, {"name": "email", "kind": "category", "private": "token"}]
    schema = {"features": features, "examples": [{"job": "nurse", "email": "tok_0"}]}
    assert "tok_" not in curl_example.curl_command("http://x", "loans", schema, tmp_path)


def test_quotes_and_spaces_survive_the_shell(tmp_path) -> None:
    schema = {"features": [{"name": "job", "kind": "category"}], "examples": [{"job": 'it\'s "a" $job `x` ü'}]}
    line = curl_example.curl_command("http://x", "loans", schema, tmp_path).replace("curl", "printf '%s\\n'", 1)
    printed = subprocess.check_output(["sh", "-c", line], text=True).splitlines()
    assert json.loads(printed[-1]) == {"instances": schema["examples"]}


def named(name: str):
    bundles.ROWS[name] = bundles.ROWS["loans"]
    return msgspec.structs.replace(bundles.TABULAR, usecase=name)


def pasted(served: Served) -> str:
    return next(line.strip() for line in served.output.splitlines() if line.startswith("  curl"))


def follower_of(served: Served) -> psutil.Process | None:
    for one in served.descendants():
        with suppress(psutil.Error):
            if "follow" in one.cmdline():
                return one
    return None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::1", "[::1]"),
        ("::", "[::1]"),
    ],
)
def test_the_service_is_reached_at_an_address_of_its_own_family(host: str, expected: str) -> None:
    assert launcher.service_url(settings().model_copy(update={"host": host})) == f"http://{expected}:3000"
