"""What lies on a disk is data: whatever is in place of a file that server or follower read, what served serves on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bentos import worker as worker_module
from bentos.follower.follower import Follower
from bentos.models import ModelManager
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.bundle import manifest
from slipway.errors import DamagedFile
from slipway.serving_state import desired, follower_status, observed
from slipway.serving_state.desired import DesiredState
from slipway.settings import settings
from slipway.system import files
from slipway.system.files import read_struct
from tests.support import bundles
from tests.support.damages import DAMAGES, Damage
from tests.support.doubles.registry_double import RegistryDouble
from tests.support.waiting import until

NAME = bundles.TABULAR.usecase
damages = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


@pytest.fixture(autouse=True)
def poll_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bentos.models.model_manager.POLL_SECONDS", 0.02)


@pytest.fixture
def start(var: Path) -> Iterator[Callable[[], ModelManager]]:
    running: list[ModelManager] = []

    def start() -> ModelManager:
        settings.cache_clear()
        running.append(ModelManager(NAME, settings(), lambda *_: None))
        running[-1].start()
        return running[-1]

    yield start
    for manager in running:
        manager.stop()


@pytest.fixture
def served_once(var: Path, tmp_path: Path, start: Callable[[], ModelManager]) -> str:
    """Have version 1 served on this machine, and end the worker; returns its digest."""
    digest = bundles.promote(var, tmp_path / "one", version="1")
    start().stop()
    return digest


@pytest.fixture
def followed(var: Path, tmp_path: Path) -> Iterator[tuple[Follower, str]]:
    """Version 1 of a registry, brought here by its follower, and its digest."""
    bundles.write(tmp_path / "good")
    with RegistryDouble(NAME) as registry:
        digest = registry.add("1", tmp_path / "good")
        registry.aliases["champion"] = "1"
        settings.cache_clear()
        follower = Follower(NAME, Registry(registry.uri), settings())
        follower.poll()
        yield follower, digest
        follower.close()


def folder(var: Path) -> Path:
    return var / "serving" / NAME


@damages
@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_struct(path, desired.DesiredState),
        lambda path: read_struct(path, desired.StoredVersion),
        lambda path: read_struct(path, follower_status.FollowerStatus),
        lambda path: read_struct(path, dict[str, follower_status.Refusal]),
        lambda path: read_struct(path, observed.WorkerState),
        lambda path: read_struct(path, str),
    ],
    ids=["pointer", "version", "follower", "refused", "state", "served"],
)
def test_every_damage_is_the_same_error_that_names_the_file(tmp_path: Path, damage: Damage, read: Callable) -> None:
    path = tmp_path / "file.json"
    with contextlib.suppress(FileNotFoundError):
        damage(path)
    with pytest.raises(DamagedFile, match=r"file\.json is not what Slipway writes there \(.+\): remove it\."):
        read(path)


class TestWorker:
    @damages
    def test_a_damaged_pointer_at_the_start_leaves_what_served_last(self, var, served_once, start, damage):
        damage(desired.pointer_path(var / "serving", NAME))
        manager = start()
        assert manager.live.version == "1"
        assert "pointer.json is not what Slipway writes there" in manager.problem

    @damages
    def test_a_damaged_pointer_where_nothing_served_is_waited_out(self, var, tmp_path, start, damage):
        folder(var).mkdir(parents=True)
        damage(pointer := desired.pointer_path(var / "serving", NAME))
        manager = start()
        assert manager.live is None and "pointer.json" in manager.problem
        pointer.rmdir() if pointer.is_dir() else pointer.unlink()
        bundles.promote(var, tmp_path / "one", version="1")
        until(lambda: manager.live is not None and manager.problem is None)

    def test_a_lost_pointer_at_the_start_leaves_what_served_last(self, var, served_once, start):
        desired.pointer_path(var / "serving", NAME).unlink()
        assert start().live.version == "1"

    @damages
    @pytest.mark.parametrize("name", ["served.json", "loads.json", "refused.json", "follower.json"])
    def test_another_damaged_file_changes_nothing_at_the_start(self, var, served_once, start, name, damage):
        damage(folder(var) / name)
        assert start().live.version == "1"

    @damages
    def test_the_damaged_state_of_another_worker_is_left_out(self, var, served_once, start, damage):
        start()
        (lock,) = (folder(var) / "state").glob("*.lock")
        damage(lock.with_suffix(".json"))
        assert observed.read(var / "serving", NAME) == []
        manager = start()
        assert [state.version for state in observed.read(var / "serving", NAME)] == ["1"]
        assert manager.live.version == "1"

    @damages
    def test_a_damaged_version_is_a_failure_of_the_machine_and_tried_again_once_it_is_mended(
        self, var, served_once, start, damage
    ):
        version = var / "store" / served_once / "version.json"
        good = version.read_bytes()
        damage(version)
        manager = start()
        (state,) = observed.read(var / "serving", NAME)
        assert (manager.live, state.roles["champion"].outcome) == (None, "failed")
        version.rmdir() if version.is_dir() else version.unlink()
        files.write_bytes(version, good)
        until(lambda: manager.live is not None)
        assert manager.live.digest == served_once


class TestHealth:
    @damages
    @pytest.mark.parametrize("name", ["follower.json", "refused.json", "pointer.json"])
    def test_the_server_answers_and_says_what_is_damaged(self, start_client, var, name, damage):
        client = start_client()
        damage(folder(var) / name)
        client.worker._health.run()
        assert client.predict(bundles.ROWS[NAME][0]).status == 200
        assert client.get(f"/v1/models/{NAME}").status == 200
        assert client.get("/readyz").status == 200
        if name != "pointer.json":
            assert any(
                f"{name} is not what Slipway writes there" in warning for warning in client.worker.warnings(["loans"])
            )

    def test_no_error_ends_the_health_checks_or_the_tick(self, start_client, monkeypatch):
        worker = start_client().worker
        calls: list[str] = []

        def failing(name: str) -> Callable[[], None]:
            return lambda: calls.append(name) or (_ for _ in ()).throw(UnicodeDecodeError("utf-8", b"", 0, 1, name))

        async def run() -> None:
            tasks = [asyncio.ensure_future(loop()) for loop in (worker.watch, worker.tick)]
            while min(map(calls.count, ("health", "metrics", "predictions", "feedback"))) < 3:
                assert not any(task.done() for task in tasks)
                await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()

        with monkeypatch.context() as patch:
            patch.setattr(worker_module, "CHECK_SECONDS", 0.001)
            patch.setattr(worker_module, "TICK_SECONDS", 0.001)
            patch.setattr(worker._health, "run", failing("health"))
            patch.setattr(worker.metrics, "flush", failing("metrics"))
            patch.setattr(worker.served[NAME].predictions, "rotate_if_due", failing("predictions"))
            patch.setattr(worker.served[NAME].feedback, "rotate_if_due", failing("feedback"))
            asyncio.run(asyncio.wait_for(run(), 20))


class TestFollower:
    """The follower mends what is damaged on its machine."""

    @damages
    def test_a_damaged_pointer_is_written_anew_and_as_a_newer_one(self, var, followed, start, damage):
        follower, digest = followed
        manager = start()
        damage(pointer := desired.pointer_path(var / "serving", NAME))
        if pointer.is_dir():  # what is in there may be somebody's: the follower says so, and what served serves on
            follower.poll()
            assert "pointer.json" in follower_status.read_status(var / "serving", NAME).topics["trouble"].message
            pointer.rmdir()
        follower.poll()
        assert desired.read(var / "serving", NAME) == DesiredState(2, digest)
        assert manager.live.digest == digest

    def test_a_lost_pointer_is_written_anew(self, var, followed):
        follower, digest = followed
        desired.pointer_path(var / "serving", NAME).unlink()
        follower.poll()
        assert desired.read(var / "serving", NAME).champion == digest

    @damages
    @pytest.mark.parametrize("name", ["refused.json", "follower.json", "served.json"])
    def test_its_other_files_are_written_anew_or_left_out(self, var, followed, name, damage):
        follower, digest = followed
        damage(path := folder(var) / name)
        follower.poll()
        assert desired.read(var / "serving", NAME).champion == digest
        if not path.is_dir():
            assert follower_status.read_refusals(var / "serving", NAME) == {}
            assert follower_status.read_status(var / "serving", NAME).topics == {}

    @damages
    def test_a_damaged_version_is_no_refusal_and_written_anew(self, var, followed, damage):
        follower, digest = followed
        damage(var / "store" / digest / "version.json")
        again = Follower(NAME, follower.registry, settings())
        follower.close()
        again.poll()
        assert follower_status.read_refusals(var / "serving", NAME) == {}
        assert desired.stored_version(var / "store" / digest).version == "1"
        again.close()

    @pytest.mark.parametrize("name", ["serve/model.onnx", "serve/schema.json", "manifest.json", "metrics.json"])
    def test_a_flipped_bit_in_the_store_heals_and_the_worker_tries_again(self, var, followed, start, name):
        follower, digest = followed
        path = var / "store" / digest / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        manager = start()
        (state,) = observed.read(var / "serving", NAME)
        assert (manager.live, state.roles["champion"].outcome) == (None, "failed")
        follower.poll()
        manifest.verify(var / "store" / digest, digest, serving_only=True)
        until(lambda: manager.live is not None and manager.problem is None)

    @pytest.mark.parametrize("lost", ["serve/model.onnx", "serve", "version.json", "."])
    def test_what_is_lost_from_the_store_is_fetched_again(self, var, followed, start, lost):
        follower, digest = followed
        path = var / "store" / digest / lost
        path.rename(var / "elsewhere")
        manager = start()
        follower.poll()
        until(lambda: manager.live is not None)

    def test_drafts_of_killed_followers_are_removed(self, var, followed):
        follower, _ = followed
        follower.close()
        for name in ("pointer.json", "refused.json", "follower.json"):
            (folder(var) / f".{name}.4711-abcd1234.tmp").write_text("{")
        Follower(NAME, follower.registry, settings()).poll()
        assert not list(folder(var).glob(".*.tmp"))

    def test_drafts_of_killed_workers_are_removed_once_no_living_one_writes_them(self, var, served_once, start):
        old, new = folder(var) / ".served.json.1-a.tmp", folder(var) / ".served.json.2-b.tmp"
        for draft in (old, new):
            draft.write_text("")
        os.utime(old, (0, 0))
        start()
        assert (old.exists(), new.exists()) == (False, True)


def test_what_is_loaded_are_the_bytes_that_were_checked(var: Path, tmp_path: Path, start, monkeypatch) -> None:
    """Whoever can write the store changes every file once it was checked: nothing is read a second time."""
    digest = bundles.promote(var, tmp_path / "one", version="1")
    expected = start().live.predictor.predict(bundles.ROWS[NAME][:3])
    verified = manifest.read_verified

    def changed_at_once(directory: Path, *args: str):
        found = verified(directory, *args)
        for name in (manifest.MANIFEST, *manifest.SERVER_FILES):
            (directory / name).write_bytes(json.dumps({"changed": name}).encode())
        return found

    monkeypatch.setattr(manifest, "read_verified", changed_at_once)
    live = start().live
    assert live.digest == digest
    assert live.predictor.predict(bundles.ROWS[NAME][:3]) == expected


def test_a_bundle_that_a_worker_cannot_load_for_another_reason_is_verified_now_and_then(var, followed, monkeypatch):
    follower, digest = followed
    failed = observed.RoleState(digest, "1", "failed", "a GPU was asked for")
    state = observed.WorkerState(1, 1, None, None, "none", "none", "now", {"champion": failed})
    held = observed.StateFile(var / "serving", NAME)
    held.write(state)
    verified = []
    verify = manifest.verify
    monkeypatch.setattr(manifest, "verify", lambda *given, **options: verified.append(1) or verify(*given, **options))
    for _ in range(5):
        follower.poll()
    assert len(verified) == 1
    assert desired.read(var / "serving", NAME) == DesiredState(1, digest)
    held.remove()
