"""Once there was a key, no state of the disk, of the clock or of the process opens the service."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bentos.auth import Authenticator
from bentos.auth.api_keys import KeyRing
from bentos.errors import Refused, Unavailable
from bentos.request import read_context
from slipway import api_keys, credentials
from slipway.errors import SettingsError
from slipway.settings import Settings, settings

WHILE_READING = [errno.EMFILE, errno.ENFILE, errno.EIO, errno.EACCES, errno.ESTALE, errno.ENOMEM]


class Door:
    """The authenticator of a worker; `status` asks it for a prediction, on both of its paths."""

    def __init__(self) -> None:
        settings.cache_clear()
        self.authenticator = Authenticator(settings(), b"secret")

    def status(self, secret: str = "") -> int:
        headers = [(b"x-api-key", secret.encode())] if secret else []
        scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": headers}
        self.authenticator._refresh_at = -1.0
        try:
            self.authenticator.admit(read_context(headers), "predict", scope, "loans")
        except Refused as error:
            found = error.status
        except Unavailable:
            found = 503
        else:
            found = 200
        assert self.authenticator.admit_at_once(read_context(headers), "predict", "loans") == (found == 200)
        return found


@pytest.fixture
def door(audit: list[str]) -> Callable[[], Door]:
    return Door


LOSSES: dict[str, Callable[[Path], Any]] = {
    "the file": lambda var: (var / "keys" / "keys.json").unlink(),
    "what is in the folder": lambda var: [path.unlink() for path in (var / "keys").iterdir()],
    "the folder": lambda var: shutil.rmtree(var / "keys"),
    "the folder, a link to nothing": lambda var: (
        shutil.rmtree(var / "keys"),
        (var / "keys").symlink_to("/nowhere/at/all"),
    ),
    "the record": lambda var: credentials.record_path(settings()).unlink(),
    "the record and the file": lambda var: (
        credentials.record_path(settings()).unlink(),
        (var / "keys" / "keys.json").unlink(),
    ),
}


@pytest.mark.parametrize("lost", LOSSES.values(), ids=LOSSES)
def test_a_worker_that_starts_after_keys_were_lost_asks_for_credentials(cli, var, door, lost):
    secret = cli("keys", "create", "ci").out.strip()
    assert door().status(secret) == 200
    lost(var)
    assert door().status() == 401


@pytest.mark.parametrize("lost", LOSSES.values(), ids=LOSSES)
def test_a_running_worker_asks_for_credentials_after_keys_were_lost(cli, var, door, lost):
    cli("keys", "create", "ci")
    running = door()
    assert running.status() == 401
    lost(var)
    assert running.status() == 401


def test_a_server_records_a_key_file_that_no_command_of_this_version_wrote(var, key, door):
    secret = key("ci", "predict")
    assert door().status(secret) == 200
    shutil.rmtree(var / "keys")
    assert door().status() == door().status(secret) == 401


@pytest.mark.parametrize(
    ("name", "value"), [("SLIPWAY_KEYS", "/nowhere/keys.json"), ("SLIPWAY_REQUIRE_CREDENTIALS", "true")]
)
def test_a_setting_asks_for_credentials_without_any_file(var, monkeypatch, door, name, value):
    monkeypatch.setenv(name, value)
    assert door().status() == 401


def test_a_named_file_opens_nothing_when_it_comes_and_goes(tmp_path, monkeypatch, door):
    monkeypatch.setenv("SLIPWAY_KEYS", str(tmp_path / "keys.json"))
    running = door()
    assert running.status() == 401
    secret = api_keys.create(tmp_path / "keys.json", "ci", ["predict"])[1]
    assert (running.status(secret), running.status()) == (200, 401)
    (tmp_path / "keys.json").unlink()
    assert running.status(secret) == running.status() == 401
    assert not credentials.record_path(settings()).exists(), "keys for another machine leave no record on this one"


def test_without_any_key_the_service_stays_open_on_this_machine(cli, var, door):
    for command in (["list"], ["revoke", "ci"], ["create", "ci", "--scopes", "none"]):
        cli("keys", *command)
    assert door().status() == 200


def test_a_folder_that_cannot_be_looked_at_counts_as_keys(var, monkeypatch):
    def fail(path: Path) -> None:
        raise PermissionError(errno.EACCES, "permission denied")

    monkeypatch.setattr(Path, "lstat", fail)
    assert credentials.credentials_required(Settings())


def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> Callable[[], None]:
    """Have each reading of a key file fail, until the function that is returned is called."""
    real, state = api_keys.read_regular, {"fails": True}

    def read(path: Path, most_bytes: int) -> bytes:
        if state["fails"]:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, most_bytes)

    monkeypatch.setattr(api_keys, "read_regular", read)
    return lambda: state.update(fails=False)


@pytest.mark.parametrize("number", WHILE_READING, ids=errno.errorcode.get)
def test_a_key_that_is_revoked_while_the_file_cannot_be_read_ends_as_soon_as_it_can(
    key, door, monkeypatch, number, caplog
):
    kept, revoked = key("kept", "predict"), key("revoked", "predict")
    running = door()
    assert running.status(revoked) == 200
    api_keys.revoke(settings().key_file, "revoked")
    mend = failing(monkeypatch, number)
    for _ in range(3):
        running.status(kept)
    assert caplog.text.count("the known keys remain valid") == 1, "it is logged once"
    mend()
    assert (running.status(revoked), running.status(kept)) == (401, 200)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"keys": null}', b"[" * 100_000, b"0" * (9 << 20)])
def test_a_file_that_is_none_is_looked_at_again_though_its_stamp_stays(key, door, monkeypatch, content):
    secret = key("ci", "predict")
    running, path = door(), settings().key_file
    whole = path.read_bytes()
    path.write_bytes(content)
    monkeypatch.setattr("bentos.auth.api_keys._stamp", lambda _: (1, 1, 1))
    assert running.status(secret) == 200
    path.write_bytes(whole.replace(b'"ci"', b'"cd"').replace(api_keys.digest(secret).encode(), b"0" * 64))
    assert running.status(secret) == 401


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_what_is_no_file_in_place_of_the_key_file_holds_up_nothing(key, door, make):
    secret = key("ci", "predict")
    running, path = door(), settings().key_file
    path.unlink()
    make(path)
    reading = threading.Thread(target=running.status, args=(secret,), daemon=True)
    reading.start()
    reading.join(5)
    assert not reading.is_alive()
    assert running.status() == 401
    with pytest.raises(SettingsError, match=r"keys\.json cannot be read"):
        door()


def test_unconfirmed_keys_end_after_the_stated_time_and_work_again_when_the_file_does(key, monkeypatch, door):
    monkeypatch.setenv("SLIPWAY_KEYS_OUTAGE_SECONDS", "600")
    secret, now = key("ci", "predict"), [time.monotonic()]
    clock = SimpleNamespace(monotonic=lambda: now[0], time=time.time)
    monkeypatch.setattr("bentos.auth.api_keys.time", clock)
    running = door()
    os.utime(settings().key_file)
    mend = failing(monkeypatch, errno.EIO)
    assert running.status(secret) == 200
    now[0] += 601
    assert (running.status(secret), running.status(), running.status("slk_wrong")) == (503, 401, 503)
    mend()
    assert (running.status(secret), running.status("slk_wrong")) == (200, 401)


def test_a_revocation_is_read_by_a_process_that_has_used_up_its_descriptors(key):
    path = settings().key_file
    key("ci", "predict")
    ring = KeyRing(path, b"secret", 3600)
    api_keys.revoke(path, "ci")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        ring.refresh()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in held:
            os.close(descriptor)
    assert ring.principals == {}
    ring.close()


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`wall(seconds)` sets the machine's clock, forward or back; monotonic time goes on."""
    moved = [0.0]
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + moved[0])
    return lambda seconds: moved.__setitem__(0, moved[0] + seconds)


STEPS = [-1, -3600, -86400 * 365 * 50, 3600]


@pytest.mark.parametrize("step", STEPS)
def test_a_revoked_key_ends_in_time_whatever_the_clock_is_set_to(key, start_client, wall, step):
    secret, client = key("ci", "predict"), start_client()
    headers = {"x_api_key": secret}
    assert client.post("/v1/models/loans/predict", {"instances": []}, **headers).status == 422
    wall(step)
    api_keys.revoke(settings().key_file, "ci")
    time.sleep(0.3)
    assert client.post("/v1/models/loans/predict", {"instances": []}, **headers).status == 401


@pytest.mark.slow
@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_rate_limit_lasts_its_window_whatever_the_clock_is_set_to(key, start_client, wall, step):
    headers, client = {"x_api_key": key("ci", "predict", rate="1/second")}, start_client()

    def answer() -> Any:
        return client.post("/v1/models/loans/predict", {"instances": []}, **headers)

    assert answer().status == 422
    wall(step)
    refused = answer()
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    time.sleep(1.05)
    assert answer().status == 422


@pytest.mark.parametrize("step", [-30, -120, -86400 * 365])
def test_a_key_that_has_expired_is_not_revived_by_a_clock_that_is_set_back(key, door, monkeypatch, step):
    wall, passed = [0.0], [0.0]
    clock = SimpleNamespace(time=lambda: time.time() + wall[0], monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr("bentos.auth.clock.time", clock)
    secret, running = key("ci", "predict", expires=api_keys.expiry("1m")), door()
    assert running.status(secret) == 200
    wall[0] = 61.0
    assert running.status(secret) == 401
    wall[0] = 0.0
    assert running.status(secret) == 200, "a clock that ran ahead is corrected"
    wall[0], passed[0] = 61.0 + step, 61.0
    assert running.status(secret) == 401
