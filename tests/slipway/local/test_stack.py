"""Processes started together end together, whatever ends their parent; nothing here starts a real server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from slipway.errors import DamagedFile, PortTaken, ServiceError
from slipway.local import Stack, local_services, running_stack, use_running_stack
from slipway.system.locks import acquire
from slipway.system.ports import free_port, is_free
from slipway.system.processes import Process
from tests.support.damages import DAMAGES, Damage

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ.get("SAYS", "").encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def server(tmp_path: Path, name: str = "web", **env: str) -> Process:
    port = free_port(20000 + os.getpid() % 10000)
    url = f"http://127.0.0.1:{port}"
    return Process(name, (sys.executable, "-c", SERVER, str(port)), tmp_path / f"{name}.log", env, url + "/", url)


def python(tmp_path: Path, code: str, name: str = "part") -> Process:
    return Process(name, (sys.executable, "-u", "-c", code), tmp_path / "logs" / f"{name}.log")


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether the process is gone, or a zombie that somebody will reap, within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_a_part_is_up_when_it_answers_and_ended_with_the_block(tmp_path):
    output = []
    with Stack(output.append) as stack:
        web = server(tmp_path)
        stack.start(web)
        assert not is_free(int(web.url.rsplit(":", 1)[1]))
    assert is_free(int(web.url.rsplit(":", 1)[1]))
    assert output[0].startswith(f"  web is up at {web.url}")


def test_a_server_of_others_on_its_port_does_not_pass_for_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr("slipway.local.stack.FREED_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as other, Stack(pytest.fail) as stack:
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        part = Process(
            "watch", ("false",), tmp_path / "log", health_url=url, url=url, port_setting="SLIPWAY_STATUS_PORT"
        )
        with pytest.raises(
            PortTaken, match=rf"watch cannot listen on {url[7:]}.* or set SLIPWAY_STATUS_PORT to a free"
        ):
            stack.start(part)
    assert not (tmp_path / "log").exists(), "it was started all the same"


def test_a_port_that_becomes_free_in_time_is_waited_for(tmp_path):
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    closing = threading.Timer(0.15, other.close)
    closing.start()
    with Stack(lambda _: None) as stack:
        stack.start(Process("web", ("sleep", "9"), tmp_path / "log", url=url))
        assert is_free(port)


def test_a_part_that_ends_while_starting_is_reported_with_the_end_of_its_log(tmp_path):
    broken = python(tmp_path, "print('no such table'); raise SystemExit(3)")
    healthy = Process(broken.name, broken.argv, broken.log, health_url="http://127.0.0.1:9/")
    with pytest.raises(ServiceError, match=r"part ended with exit code 3[\s\S]*no such table"), Stack(print) as stack:
        stack.start(healthy)


def test_a_part_that_never_answers_is_reported_and_ended(tmp_path):
    part = python(tmp_path, "import os, time; print(os.getpid()); time.sleep(60)")
    silent = Process(part.name, part.argv, part.log, health_url="http://127.0.0.1:9/")
    with pytest.raises(ServiceError, match=r"did not respond at http://127.0.0.1:9/ within 1 s"), Stack(print) as stack:
        stack.start(silent, seconds=1)
    assert gone(int(part.log.read_text()))


def test_an_error_in_the_block_ends_what_a_part_has_started(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)\ntime.sleep(60)"
    )
    part = python(tmp_path, code)
    with pytest.raises(ZeroDivisionError), Stack(lambda _: None) as stack:
        stack.start(part)
        while not part.log.read_text().endswith("\n"):
            time.sleep(0.02)
        raise ZeroDivisionError
    assert gone(int(part.log.read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_end_of_the_parent_leaves_a_process_behind(tmp_path, number):
    code = f"""
import sys, time
from pathlib import Path
from slipway.local import Stack
from slipway.system.locks import acquire
from slipway.system.processes import Process
from tests.support.damages import DAMAGES, Damage
with Stack(lambda _: None) as stack:
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    stack.start(Process("child", (sys.executable, "-c", child), Path({str(tmp_path)!r}) / "child.log"))
    print("started", flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout.readline() == b"started\n"
    log = tmp_path / "child.log"
    while not log.read_text().endswith("\n"):
        time.sleep(0.02)
    parent.send_signal(number)
    parent.wait(20)
    assert gone(int(log.read_text()))


def test_keeping_a_stack_ends_with_the_part_that_ended(tmp_path):
    part = python(tmp_path, "import time; time.sleep(0.3); print('out of memory')")
    with pytest.raises(ServiceError, match=r"part ended[\s\S]*out of memory"), Stack(lambda _: None) as stack:
        stack.start(part)
        stack.keep(sleep=lambda _: time.sleep(0.05))


def test_a_part_that_the_kernel_killed_is_said_to_lack_memory(tmp_path):
    part = python(tmp_path, "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(ServiceError, match="part was killed, as the kernel does"), Stack(lambda _: None) as stack:
        stack.start(part)
        stack.keep(sleep=lambda _: time.sleep(0.05))


def test_a_folder_has_one_stack_and_others_find_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIPWAY_SERVICE_PORT", "3000")
    del os.environ["SLIPWAY_SERVICE_PORT"]
    with Stack(lambda _: None) as stack:
        stack.claim(tmp_path, "up")
        stack.publish_environment({"SLIPWAY_SERVICE_PORT": "3777", "MLFLOW_TRACKING_URI": "http://elsewhere"})
        stack.start(python(tmp_path, "import time; time.sleep(60)", "ship"))
        stack.ready()
        state = running_stack(tmp_path)
        assert (state.command, state.pid, state.ready) == ("up", os.getpid(), True)
        assert [part.name for part in state.parts] == ["ship"]
        with pytest.raises(ServiceError, match="a stack runs from"):
            Stack(print).claim(tmp_path, "up")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mine")
        use_running_stack(tmp_path)
        assert os.environ["SLIPWAY_SERVICE_PORT"] == "3777"
        assert os.environ["MLFLOW_TRACKING_URI"] == "http://mine"
    assert running_stack(tmp_path) is None


def test_a_state_file_of_a_killed_stack_is_not_a_running_stack(tmp_path):
    code = (
        "import os, signal; from pathlib import Path; from slipway.local import Stack\n"
        f"Stack(print).claim(Path({str(tmp_path)!r}), 'up'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (tmp_path / "stack.json").exists()
    assert running_stack(tmp_path) is None


def test_a_taken_port_is_replaced_by_the_next_free_one_and_reported(monkeypatch):
    output = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("SLIPWAY_SERVICE_PORT", str(port))
        from slipway.settings import settings

        settings.cache_clear()
        chosen = local_services(say=output.append).ports
    assert chosen["service"] > port
    assert output[0] == f"port {port} is taken: service takes {chosen['service']}"
    assert len(set(chosen.values())) == len(chosen)


def test_a_port_is_chosen_for_each_server_that_listens_and_for_nothing_else():
    chosen = local_services()
    processes = [chosen.mlflow(), chosen.prefect(), chosen.service(["digits"]), chosen.watch()]
    assert {process.url for process in processes} == {chosen.url(name) for name in chosen.ports}


def test_no_free_port_is_an_error_that_names_the_ports_tried(monkeypatch):
    monkeypatch.setattr("slipway.system.ports.is_free", lambda *_: False)
    with pytest.raises(PortTaken, match="no port from 3000 to 3099 is free"):
        free_port(3000)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_of_a_running_stack_is_one_error_that_names_it(tmp_path: Path, damage: Damage) -> None:
    with acquire(tmp_path / "stack.lock"):
        damage(tmp_path / "stack.json")
        with pytest.raises(DamagedFile, match=r"stack\.json is not what Slipway writes there"):
            running_stack(tmp_path)
