"""Each finding of the doctor, well and not well, with its fix."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections import namedtuple
from pathlib import Path

import certifi
import pytest

from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.commands import doctor as doctor_command
from slipway.local.doctor import Diagnosis, accelerators, machine, network, packages, services
from slipway.serving_state import desired, follower_status
from slipway.serving_state.desired import DesiredState
from slipway.serving_state.follower_status import Refusal
from slipway.settings import Settings, settings
from slipway.system.ports import free_port, is_free, url_at
from slipway.telemetry.certificates import MOST_BYTES
from tests.slipway.telemetry.certificates import pem

Usage = namedtuple("Usage", "total used free")


def states(findings) -> set[str]:
    return {finding.state for finding in findings}


def test_this_environment_has_what_the_extras_name_and_no_incompatible_pair():
    assert machine.python().state == "ok"
    assert states([*packages.pairs(), *packages.extras()]) == {"ok"}


@pytest.mark.parametrize(
    ("package", "bad", "good"),
    [("sqlalchemy", "2.1.9", "2.0.58"), ("pandas", "3.0.0", "2.3.3"), ("fastapi", "0.155.1", "0.154.0")],
)
def test_an_incompatible_pair_is_an_error_with_its_fix(package, bad, good):
    [found] = packages.pairs(lambda name: bad if name == package else None)
    assert found.state == "error"
    assert bad in found.detail
    assert f"'{package}<" in found.fix
    assert states(packages.pairs(lambda name: good if name == package else None)) == {"ok"}


def test_a_missing_package_is_named_with_its_extra():
    found = [f for f in packages.extras(lambda name: None if name == "tensorflow" else "1.0") if f.state != "ok"]
    assert [f.state for f in found] == ["warning"]
    assert "extra training" in found[0].detail
    assert "tensorflow missing" in found[0].detail


@pytest.mark.parametrize(("free", "state"), [(0.1e9, "error"), (1e9, "warning"), (50e9, "ok")])
def test_a_full_disk_is_an_error_before_anything_is_written(monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100e9, 0, free))
    assert machine.disk(settings()).state == state
    assert not settings().var.exists()


def test_a_taken_port_is_a_warning_and_the_stacks_own_is_not(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("SLIPWAY_MLFLOW_PORT", str(taken.getsockname()[1]))
        settings.cache_clear()
        [found] = [f for f in machine.ports(settings()) if f.state == "warning" and "mlflow" in f.detail]
        assert "SLIPWAY_MLFLOW_PORT" in found.fix


class Result:
    """A library's report on GPUs, without the seconds that it takes to load."""

    def __init__(self, library: str, gpus: list[str] | str) -> None:
        self.library, self._gpus = library, gpus

    def result(self) -> list[str] | str:
        return self._gpus


def test_three_sources_on_gpus_may_differ(monkeypatch):
    monkeypatch.setattr(accelerators, "driver", lambda: ["GPU 0: H200"])
    driver, tensorflow, onnxruntime = accelerators.diagnoses(
        (Result("TensorFlow", []), Result("ONNX Runtime", ["CUDA"]))
    )
    assert driver.detail == "driver: GPU 0: H200"
    assert (tensorflow.state, "tensorflow[and-cuda]" in tensorflow.fix) == ("warning", True)
    assert onnxruntime.state == "ok"


def test_a_library_that_cannot_be_loaded_is_a_warning(monkeypatch):
    monkeypatch.setattr(accelerators, "driver", lambda: [])
    _, found = accelerators.diagnoses((Result("TensorFlow", "ImportError: libx"),))
    assert (found.state, found.detail) == ("warning", "TensorFlow: ImportError: libx")


def test_a_question_reports_the_last_line_of_a_crash():
    crashed = subprocess.Popen(
        ["sh", "-c", "echo no such symbol >&2; exit 3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert accelerators.LibraryProbe("TensorFlow", crashed).result() == "no such symbol"


def test_silent_servers_are_warnings_that_say_who_starts_them():
    found = list(services.servers(settings()))
    assert states(found) == {"warning"}
    assert all("slipway up" in f.fix for f in found)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("SLIPWAY_INSECURE", "true", "SLIPWAY_INSECURE=true"),
        ("SLIPWAY_HOST", "0.0.0.0", "other machines can reach"),
        ("SLIPWAY_STATUS_HOST", "0.0.0.0", "read the status page without a key"),
        ("SLIPWAY_ENVIRONMENT", "production", "no SLIPWAY_MASK_KEY"),
        ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true", "may run its code"),
    ],
)
def test_an_unsafe_setting_is_a_warning(monkeypatch, name, value, part):
    assert states(services.unsafe(settings())) == {"ok"}
    monkeypatch.setenv(name, value)
    settings.cache_clear()
    [found] = services.unsafe(settings())
    assert found.state == "warning"
    assert part in found.detail


def a_registry(monkeypatch, digest: str, number: str = "2") -> None:
    version = ModelVersion("loans", number, "run", "source", {"slipway.bundle_sha256": digest})
    monkeypatch.setattr(Registry, "alive", lambda self: True)
    monkeypatch.setattr(Registry, "aliased", lambda self, name, alias: version)


def test_registry_and_pointer_that_agree_are_well(monkeypatch):
    desired.write(settings().serving, "loans", DesiredState(1, champion="abc"))
    a_registry(monkeypatch, "abc")
    assert states(services.agreement(settings())) == {"ok"}


def test_a_pointer_that_stayed_behind_says_what_to_start(monkeypatch):
    desired.write(settings().serving, "loans", DesiredState(1, champion="abc"))
    a_registry(monkeypatch, "def")
    [found] = services.agreement(settings())
    assert found.state == "warning"
    assert "slipway follow" in found.fix


def test_a_refused_champion_is_reported_with_its_reason(monkeypatch):
    desired.write(settings().serving, "loans", DesiredState(1, champion="abc"))
    follower_status.write_refusals(
        settings().serving, "loans", {"2": Refusal("2", "champion", "its gates failed", "now")}
    )
    a_registry(monkeypatch, "def")
    [found] = services.agreement(settings())
    assert "refused: its gates failed" in found.detail


def test_the_command_exits_with_1_only_for_errors_and_prints_each_fix(monkeypatch, cli):
    findings = [Diagnosis("disk", "ok", "50 GB free"), Diagnosis("ports", "warning", "3000 is taken", "set another")]
    monkeypatch.setattr("slipway.local.doctor.examine", lambda: iter(findings))
    ran = cli("doctor")
    assert ran.code == 0
    assert "fix: set another" in ran.out
    findings.append(Diagnosis("Python", "error", "3.9", "install 3.11"))
    assert cli("doctor").code == 1
    ran = cli("doctor", "--json")
    assert (ran.code, [f["state"] for f in json.loads(ran.out)]) == (1, ["ok", "warning", "error"])
    assert doctor_command.COLOURS.keys() == {"ok", "warning", "error"}


def test_a_wrong_setting_is_a_finding_and_not_the_end_of_the_examination(monkeypatch):
    from slipway.local import doctor

    monkeypatch.setenv("SLIPWAY_MLFLOW_PRT", "5000")
    settings.cache_clear()
    monkeypatch.setattr(accelerators, "start_probes", lambda: ())
    found = list(doctor.examine())
    assert any("SLIPWAY_MLFLOW_PORT" in f.detail and f.state == "error" for f in found)
    assert found[-1].check == "GPU"


@pytest.fixture
def proxied(monkeypatch):
    """Set the variables of a proxy for one test, and no others."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return lambda **variables: [monkeypatch.setenv(name, value) for name, value in variables.items()]


def test_the_proxy_of_the_environment_is_named_without_its_password(proxied, monkeypatch):
    [found] = network.proxy(settings())
    assert (found.state, found.detail) == ("ok", "none is set")
    proxied(http_proxy="http://ann:secret@proxy:3128", no_proxy="corp.example")
    [found] = network.proxy(settings())
    assert found.state == "ok", "the local servers are reached directly"
    assert found.detail == "http_proxy=http://proxy:3128; not for corp.example"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    settings.cache_clear()
    _, through = network.proxy(settings())
    assert through.state == "warning"
    assert "MLflow at http://mlflow.example:5000 is reached through http://proxy:3128" in through.detail
    assert "add mlflow.example to no_proxy" in through.fix
    assert "secret" not in str(through)


def test_a_proxy_that_no_client_can_use_is_an_error(proxied):
    proxied(all_proxy="socks5://127.0.0.1:1080")
    found = list(network.proxy(settings()))
    assert [finding.state for finding in found] == ["ok", "error"]
    assert "socksio" in found[1].fix


@pytest.mark.parametrize("password", ["se#cret", "se/cret", "se?cret", "12#cret", "se[cret"])
def test_a_proxy_whose_password_is_not_encoded_is_an_error_that_does_not_show_it(proxied, monkeypatch, password):
    proxied(http_proxy=f"http://ann:{password}@proxy:3128")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    settings.cache_clear()
    found = list(network.proxy(settings()))
    assert [finding.state for finding in found] == ["ok", "error"]
    assert "%23" in found[1].fix
    assert "cret" not in str(found)


@pytest.mark.parametrize("uri", ["http://ann:secret@127.0.0.1:1", "file:///mlruns"])
def test_an_address_that_cannot_be_the_registrys_is_an_error_and_shows_no_password(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("PREFECT_API_URL", "http://ann:secret@127.0.0.1:1/api")
    desired.write(settings().serving, "loans", DesiredState(1, champion="abc"))
    settings.cache_clear()
    found = [*services.servers(settings()), *services.agreement(settings()), *services.aliases(settings())]
    assert [finding.state for finding in found] == ["warning", "warning", "error"]
    assert "secret" not in str(found)


def test_the_memory_of_a_container_counts_and_not_that_of_its_machine(monkeypatch):
    monkeypatch.setattr(machine, "available_bytes", lambda: 900e6)
    assert machine.memory().detail == "0.9 GB available"
    assert machine.memory().state == "warning"
    monkeypatch.setattr(machine, "available_bytes", lambda: None)
    assert machine.memory().state == "ok"


def test_certificates_that_are_not_there_are_an_error(monkeypatch, tmp_path):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    [found] = network.certificates()
    assert (found.state, found.fix) == ("error", "correct SSL_CERT_FILE, or unset it")
    (tmp_path / "none.pem").write_text("nothing\n")
    assert "holds no certificate" in next(network.certificates()).detail
    (tmp_path / "none.pem").write_text(Path(certifi.where()).read_text())
    assert states(network.certificates()) == {"ok"}
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    assert "SSL_CERT_DIR is for that" in next(network.certificates()).detail
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'none'}:{tmp_path}")
    monkeypatch.delenv("SSL_CERT_FILE")
    assert states(network.certificates()) == {"ok"}


@pytest.mark.parametrize(
    ("content", "state", "part"),
    [
        (None, "error", "cannot be read: No such file"),
        (b"", "error", "holds no certificate in PEM form"),
        (b"-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n", "error", "holds no certificate"),
        (b"\x30\x82\x01", "error", "holds no certificate"),  # as of a file in DER form
        (b"\n" * (MOST_BYTES + 1), "error", "holds no certificate"),
        (pem(-0.01), "error", "expired at "),
        (pem(90, -1), "error", "expired at "),
        (pem(1), "ok", "expires at "),
    ],
)
def test_the_certificate_of_the_proxy_is_one_that_has_not_expired(tmp_path, content, state, part):
    path = tmp_path / "tls.crt"
    if content is not None:
        path.write_bytes(content)
    [found] = network.presented_certificate(Settings(tls_certificate=path))
    assert found.state == state and part in found.detail and f"SLIPWAY_TLS_CERTIFICATE={path}" in found.detail
    assert bool(found.fix) == (state == "error")


def test_a_certificate_that_is_no_file_of_this_user_cannot_be_read(tmp_path):
    [found] = network.presented_certificate(Settings(tls_certificate=tmp_path))
    assert (found.state, "cannot be read" in found.detail) == ("error", True)
    assert not list(network.presented_certificate(Settings(tls_certificate=None)))


def test_a_machine_that_cannot_reach_itself_is_an_error(monkeypatch):
    assert network.loopback().state == "ok"

    def unreachable(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    found = network.loopback()
    assert (found.state, "ip link set lo up" in found.fix) == ("error", True)
    assert "Network is unreachable" in found.detail


def test_a_host_name_that_does_not_resolve_is_a_warning(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop.invalid")
    assert network.host_name().fix == "add `127.0.1.1 laptop.invalid` to /etc/hosts"
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert network.host_name().state == "ok"


def test_no_room_for_temporary_files_is_found(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100e9, 0, 0.1e9))
    assert machine.temporary_files().state == "warning"

    def full() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(machine.tempfile, "gettempdir", full)
    assert "TMPDIR" in machine.temporary_files().fix


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("server:/homes {} nfs4 rw 0 0", "warning"),
        ("//server/homes {} cifs rw 0 0", "warning"),
        ("/dev/sda1 {} ext4 rw 0 0", "ok"),
        ("server:/other /elsewhere nfs rw 0 0", "ok"),
    ],
)
def test_a_state_folder_on_a_network_file_system_is_a_warning(monkeypatch, tmp_path, line, state):
    home = tmp_path / "home of ann"
    monkeypatch.setenv("SLIPWAY_VAR", str(home / "var"))
    settings.cache_clear()
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/sda2 / ext4 rw 0 0\n" + line.format(str(home).replace(" ", "\\040")) + "\n")
    assert machine.file_system(settings(), mounts).state == state
    assert machine.file_system(settings(), tmp_path / "none").state == "ok"


def test_text_that_is_not_utf_8_is_a_warning(monkeypatch):
    assert machine.text_encoding().state == "ok"
    monkeypatch.setattr(machine.locale, "getpreferredencoding", lambda _: "ISO-8859-1")
    assert "PYTHONUTF8=1" in machine.text_encoding().fix


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_ports_of_both_families_are_found(host):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port, host)
        assert free_port(port, host=host) > port
        assert url_at(host, port) == (f"http://[::1]:{port}" if ":" in host else f"http://127.0.0.1:{port}")
