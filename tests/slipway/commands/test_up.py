"""`up`, `status` and `down` with toy parts: what is started is found, shown, and ended."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway.errors import ServiceError
from slipway.local import login_file, running_stack
from slipway.settings import settings
from slipway.system.ports import free_port

pytestmark = pytest.mark.slow

# `slipway up` with each part replaced by a small server on that part's own port
TOY = """
import sys
from slipway.cli import main
from slipway.local import LocalServices
from slipway.system.processes import Process
from slipway.clients.mlflow.registry import RegisteredModel, Registry

SERVER = "import sys, http.server as h; h.test(h.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')"

def toy(part, listens):
    def make(self, *_):
        url = self.url(part) if listens else None
        code = SERVER if listens else "import time; time.sleep(120)"
        port = str(self.ports.get(part, 0))
        return Process(part, (sys.executable, "-c", code, port), self.var / "logs" / f"{part}.log", {}, url, url)
    return make

for method, part, listens in (
    ("mlflow", "mlflow", True), ("prefect", "prefect", True), ("service", "service", True), ("watch", "status", True),
    ("runner", "runner", False), ("ship", "ship", False),
):
    setattr(LocalServices, method, toy(part, listens))
Registry.model = lambda self, name: RegisteredModel(name, {"champion": "1"} if name == "digits" else {})
main(sys.argv[1:])
"""


@pytest.fixture
def ports(monkeypatch) -> int:
    """Four ports in a row that nobody else of this machine is likely to want."""
    first = free_port(22000 + os.getpid() % 10000)
    for offset, part in enumerate(("SERVICE", "MLFLOW", "PREFECT", "STATUS")):
        monkeypatch.setenv(f"SLIPWAY_{part}_PORT", str(first + offset))
    settings.cache_clear()
    return first


# In place of the program: a server that responds to /-/ready, a file in its folder
PROMETHEUS = f"""#!{sys.executable}
import http.server, sys
port = next(word for word in sys.argv if "listen-address" in word).rpartition(":")[2]
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(port), bind="127.0.0.1")
"""


@pytest.fixture
def prometheus(ports, tmp_path, monkeypatch) -> str:
    """The address of the toy in place of Prometheus that `up` finds installed."""
    (tmp_path / "-").mkdir()
    (tmp_path / "-" / "ready").touch()
    program = tmp_path / "bin" / "prometheus"
    program.parent.mkdir()
    program.write_text(PROMETHEUS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    port = free_port(ports + 4)
    monkeypatch.setenv("SLIPWAY_PROMETHEUS_PORT", str(port))
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def up(prometheus, var, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", TOY, "up", "--with", "prometheus"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not ((stack := running_stack(var.resolve())) and stack.ready):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process
    process.kill()
    process.wait()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_status_shows_what_up_started_and_down_ends_it(up, var, cli):
    pids = [part.pid for part in running_stack(var.resolve()).parts]
    status = json.loads(cli("status", "--json").out)
    assert status["stack"]["command"] == "up"
    assert {part["name"]: bool(part["pid"]) for part in status["parts"]}.items() >= {
        "mlflow": True,
        "runner": True,
    }.items()
    shown = cli("status").out
    assert "`slipway up` (pid" in shown and "prometheus up " in shown
    ran = cli("down")
    assert (ran.code, ran.out[:6]) == (0, "ended ")
    assert "prometheus" in ran.out
    assert up.wait(10) == 0
    assert not [pid for pid in pids if alive(pid)]
    assert cli("down").out.startswith("nothing runs from")


def test_the_watch_is_led_to_the_prometheus_that_up_started(up, prometheus, var):
    stack = running_stack(var.resolve())
    [watch] = [part for part in stack.parts if part.name == "status"]  # the toy has the name of its port
    variables = Path(f"/proc/{watch.pid}/environ").read_text().split("\0")
    assert f"SLIPWAY_PROMETHEUS_URL={prometheus}" in variables
    assert not [variable for variable in variables if variable.startswith("SLIPWAY_ALERTMANAGER_URL")]
    assert stack.env["SLIPWAY_PROMETHEUS_URL"] == prometheus


def test_up_prints_addresses_and_what_it_does_not_serve(up, ports, cli, var):
    cli("down")
    output = up.communicate(timeout=10)[0]
    assert f"http://127.0.0.1:{ports}" in output
    assert f"it asks for the login in {login_file(var.resolve(), 'prefect')}" in output
    assert "credit_risk has no champion, so it is not served: slipway train credit_risk" in output


def test_nobody_else_on_the_machine_may_read_what_up_writes(var, request):
    """Also not in a state folder that an earlier release made."""
    var.mkdir(mode=0o755)
    request.getfixturevalue("up")
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in (var, *var.rglob("*"))}
    assert {path.name for path in found} >= {"stack.json", "prefect.login", "ship.log", "runner.log"}
    assert {str(path): oct(mode) for path, mode in found.items() if mode & 0o077} == {}


def test_ctrl_c_ends_every_process_that_up_started(up, var):
    pids = [part.pid for part in running_stack(var.resolve()).parts]
    assert len(pids) == 7
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 0
    assert not [pid for pid in pids if alive(pid)]
    assert running_stack(var.resolve()) is None


def test_a_second_up_of_the_same_folder_is_refused_and_the_first_continues(up, cli, var):
    ran = cli("up")
    assert ran.code == 1
    assert ran.err.startswith(f"error: a stack runs from {var.resolve()} already")
    assert up.poll() is None


def test_a_part_that_ends_is_named_and_ends_the_rest(up, var):
    stack = running_stack(var.resolve())
    [ship] = [part.pid for part in stack.parts if part.name == "ship"]
    os.kill(ship, signal.SIGKILL)
    output = up.communicate(timeout=30)[0]
    assert up.returncode == 1
    assert "error: ship was killed" in output
    assert not [part.pid for part in stack.parts if alive(part.pid)]


def test_a_detached_up_that_fails_says_why(monkeypatch, tmp_path):
    from slipway.commands import up as command

    monkeypatch.setattr(command.sys, "executable", "/bin/false")
    with pytest.raises(ServiceError, match="`slipway up` ended"):
        command.command(detach=True)


def test_status_of_nothing_says_what_starts_it(ports, cli):
    ran = cli("status")
    assert ran.code == 0
    assert "no stack; `slipway up` starts one" in ran.out
