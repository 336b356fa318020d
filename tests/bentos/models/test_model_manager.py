"""The model manager follows the pointer, and keeps its model whenever the desired one is invalid."""

from __future__ import annotations

import fcntl
import gc
import json
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bentos.models import ModelManager
from bentos.models.acceptance import slowdown
from bentos.models.loaded_model import load
from slipway.contracts.schema import Feature
from slipway.errors import BundleError, SettingsError
from slipway.serving_state import desired, observed
from slipway.serving_state.observed import StateFile, WorkerState
from slipway.settings import settings
from slipway.system import files
from tests.support import bundles
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def poll_often(monkeypatch):
    monkeypatch.setattr("bentos.models.model_manager.POLL_SECONDS", 0.02)


@pytest.fixture
def start_manager(var):
    """`start_manager()` starts one for `loans`, stopped after the test; `swaps` are the versions it swapped to."""
    running: list[ModelManager] = []

    def start(**environment: object) -> ModelManager:
        settings.cache_clear()
        swaps: list[tuple[str | None, str]] = []
        manager = ModelManager(
            "loans", settings(), lambda _, old, new: swaps.append((old and old.version, new.version))
        )
        manager.swaps = swaps  # type: ignore[attr-defined]
        running.append(manager)
        manager.start()
        return manager

    yield start
    for manager in running:
        manager.stop()


def state(var: Path) -> WorkerState:
    (found,) = observed.read(var / "serving", "loans")
    return found


def has_followed(var: Path, generation: int) -> Callable[[], bool]:
    """Return a check that the worker has processed that generation of the pointer."""

    def done() -> bool:
        found = state(var)
        champion = found.roles.get("champion")
        return found.generation == generation and (champion is None or champion.outcome != "loading")

    return done


class TestSwap:
    def test_a_moved_pointer_is_followed(self, start_manager, var, tmp_path):
        bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        assert manager.live.version == "1"
        digest = bundles.promote(var, tmp_path / "two", version="2", bias=0.3)
        until(lambda: manager.live.version == "2")
        until(has_followed(var, 2))
        assert manager.swaps == [(None, "1"), ("1", "2")]
        assert state(var).serving == digest
        assert state(var).roles["champion"].outcome == "serving"
        assert state(var).source == "pointer"

    def test_the_same_digest_is_not_loaded_again(self, start_manager, var, tmp_path):
        digest = bundles.promote(var, tmp_path / "one")
        manager = start_manager()
        live = manager.live
        generation = bundles.point(var, "loans", digest)
        until(has_followed(var, generation))
        assert manager.live is live

    def test_a_return_to_the_previous_champion_needs_no_disk_and_no_check(self, start_manager, var, tmp_path):
        first = bundles.promote(var, tmp_path / "one", version="1", slow=60)
        manager = start_manager()
        one = manager.live
        bundles.promote(var, tmp_path / "two", version="2", bias=0.3)
        until(lambda: manager.live.version == "2")
        shutil.rmtree(var / "store" / first)
        until(has_followed(var, bundles.point(var, "loans", first)))
        assert manager.live is one
        assert state(var).roles["champion"].outcome == "serving"
        assert manager.swaps == [(None, "1"), ("1", "2"), ("2", "1")]

    def test_only_the_previous_champion_stays_in_memory(self, start_manager, var, tmp_path):
        bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        one = weakref.ref(manager.live)
        for version in ("2", "3"):
            bundles.promote(var, tmp_path / version, version=version, bias=int(version) / 10)
            until(lambda version=version: manager.live.version == version)
        gc.collect()
        assert one() is None

    def test_a_champion_that_is_taken_away_keeps_serving(self, start_manager, var, tmp_path):
        bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        until(has_followed(var, bundles.point(var, "loans", None)))
        assert manager.live.version == "1"

    def test_workers_load_one_at_a_time(self, start_manager, var, tmp_path):
        bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        with (var / "serving" / "loans" / "swap.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            bundles.promote(var, tmp_path / "two", version="2", bias=0.3)
            until(lambda: state(var).roles["champion"].outcome == "loading")
            time.sleep(0.3)
            assert manager.live.version == "1"
        until(lambda: manager.live.version == "2")

    def test_requests_in_flight_keep_the_model_that_they_began_with(self, start_manager, var, tmp_path):
        bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        old = manager.live
        bundles.promote(var, tmp_path / "two", version="2", bias=0.3)
        until(lambda: manager.live.version == "2")
        assert old.version == "1"
        assert old.predictor.predict(bundles.ROWS["loans"][:1])

    def test_the_observed_state_is_removed_with_the_worker(self, start_manager, var, tmp_path):
        bundles.promote(var, tmp_path / "one")
        manager = start_manager()
        manager.stop()
        assert observed.read(var / "serving", "loans") == []

    def test_the_states_of_killed_workers_are_removed(self, start_manager, var, tmp_path):
        other = StateFile(var / "serving", "loans")
        other.write(WorkerState(2**22 + 1, 1, "d", "1", "cpu", "pointer", "now"))
        del other  # and with it its lock, as a kill does
        start_manager()
        assert len(list((var / "serving" / "loans" / "state").glob("*.json"))) == 1


def _changed_byte(stored: Path) -> None:
    model = stored / "serve" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)


def _missing_file(stored: Path) -> None:
    (stored / "serve" / "schema.json").unlink()


def _link(stored: Path) -> None:
    probe = stored / "serve" / "probe.json"
    probe.rename(stored / "elsewhere.json")
    probe.symlink_to(stored / "elsewhere.json")


BROKEN_IN_THE_STORE = [
    pytest.param(_changed_byte, "not what was registered", id="a changed byte"),
    pytest.param(_missing_file, "schema.json is missing", id="a missing file"),
    pytest.param(_link, "no plain file", id="a link"),
    pytest.param(shutil.rmtree, "no manifest", id="nothing"),
    pytest.param(lambda stored: (stored / "manifest.json").write_text("{}"), "digest is", id="another manifest"),
]
RENAMED = msgspec.structs.replace(bundles.TABULAR, classes=("yes", "bad"))
NARROWER = msgspec.structs.replace(bundles.TABULAR, features=bundles.TABULAR.features[:3])
WIDER = msgspec.structs.replace(bundles.TABULAR, features=(*bundles.TABULAR.features, Feature("height", "number")))
BROKEN_AS_WRITTEN = [
    pytest.param({"passed": False}, "its gates failed: ROC AUC is 0.6", id="failed gates"),
    pytest.param({"probe_shift": 0.1}, "outputs for the probe rows differ", id="a wrong probe"),
    pytest.param({"slow": 60}, "times as long as version 1", id="too slow"),
    pytest.param({"schema": RENAMED}, "classes differ", id="other classes"),
    pytest.param({"schema": NARROWER}, "member is gone and not retired", id="a feature less"),
    pytest.param({"schema": WIDER}, "height is new and not nullable", id="a feature more"),
]


class TestBroken:
    @pytest.mark.parametrize(("damage", "reason"), BROKEN_IN_THE_STORE)
    def test_a_bundle_that_is_damaged_here_is_a_failure_of_the_machine_and_the_old_one_serves(
        self, start_manager, var, tmp_path, damage, reason
    ):
        before = bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        digest = bundles.write(tmp_path / "two", bias=0.3)
        damage(bundles.put_in_store(var, tmp_path / "two", "2"))
        self._is_rejected(manager, var, before, digest, reason, "failed")

    @pytest.mark.parametrize(("options", "reason"), BROKEN_AS_WRITTEN)
    def test_a_bundle_that_may_not_replace_is_refused_and_the_old_one_serves(
        self, start_manager, var, tmp_path, options, reason
    ):
        before = bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        digest = bundles.write(tmp_path / "two", bias=0.3, **options)
        bundles.put_in_store(var, tmp_path / "two", "2")
        self._is_refused(manager, var, before, digest, reason)

    def test_a_newer_contract_is_refused(self, start_manager, var, tmp_path):
        before = bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        bundles.write(tmp_path / "two")
        manifest = json.loads((tmp_path / "two" / "manifest.json").read_text()) | {"contract": 99}
        (tmp_path / "two" / "manifest.json").write_text(json.dumps(manifest))
        digest = files.file_sha256(tmp_path / "two" / "manifest.json")
        bundles.put_in_store(var, tmp_path / "two", "2")
        self._is_refused(manager, var, before, digest, "contract version 99")

    def test_a_bundle_of_another_use_case_is_refused(self, start_manager, var, tmp_path):
        before = bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        digest = bundles.write(tmp_path / "two", bundles.REGRESSION)
        bundles.put_in_store(var, tmp_path / "two", "2")
        self._is_refused(manager, var, before, digest, "of the use case prices")

    @pytest.mark.parametrize("digest", ["../../etc", "", "A" * 64, "0" * 63])
    def test_an_invalid_digest_is_refused(self, start_manager, var, tmp_path, digest):
        before = bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        self._is_refused(manager, var, before, digest, "not a digest")

    def test_an_invalid_pointer_changes_nothing(self, start_manager, var, tmp_path):
        bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        desired.pointer_path(var / "serving", "loans").write_text("rubbish")
        time.sleep(0.2)
        assert manager.live.version == "1"
        desired.pointer_path(var / "serving", "loans").unlink()
        bundles.promote(var, tmp_path / "two", version="2", bias=0.3)
        until(lambda: manager.live.version == "2")

    def test_a_refused_bundle_is_not_tried_again_until_the_pointer_moves(
        self, start_manager, var, tmp_path, monkeypatch
    ):
        bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        tried = []
        monkeypatch.setattr("bentos.models.model_manager.load", lambda *a, **k: tried.append(1) or load(*a, **k))
        bundles.write(tmp_path / "two", passed=False)
        digest = files.file_sha256(tmp_path / "two" / "manifest.json")
        bundles.put_in_store(var, tmp_path / "two", "2")
        until(has_followed(var, bundles.point(var, "loans", digest)))
        time.sleep(0.3)
        assert len(tried) == 1
        assert manager.live.version == "1"

    def test_a_failure_of_the_machine_is_retried(self, start_manager, var, tmp_path, monkeypatch):
        bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        faults = [OSError(28, "No space left on device")]
        monkeypatch.setattr("bentos.models.activation.RETRY_SECONDS", 0.2)
        monkeypatch.setattr(
            "bentos.models.model_manager.load",
            lambda *a, **k: load(*a, **k) if not faults else (_ for _ in ()).throw(faults.pop()),
        )
        bundles.promote(var, tmp_path / "two", version="2", bias=0.3)
        until(lambda: state(var).roles["champion"].outcome == "failed")
        assert "No space left" in state(var).roles["champion"].reason
        until(lambda: manager.live.version == "2")

    def _is_refused(self, manager: ModelManager, var: Path, before: str, digest: str, reason: str) -> None:
        self._is_rejected(manager, var, before, digest, reason, "refused")

    def _is_rejected(
        self, manager: ModelManager, var: Path, before: str, digest: str, reason: str, outcome: str
    ) -> None:
        until(has_followed(var, bundles.point(var, "loans", digest)))
        found = state(var)
        assert manager.live.version == "1"
        assert found.serving == before
        assert found.roles["champion"].digest == digest
        assert found.roles["champion"].outcome == outcome
        assert reason in found.roles["champion"].reason


class TestAllowed:
    def test_an_override_admits_failed_gates_and_is_shown(self, start_manager, var, tmp_path):
        digest = bundles.write(tmp_path / "one", passed=False)
        bundles.put_in_store(var, tmp_path / "one", "1", override="ann: the old one is worse")
        bundles.point(var, "loans", digest)
        assert start_manager().live.override == "ann: the old one is worse"

    def test_a_feature_may_be_added_nullable_and_another_retired(self, start_manager, var, tmp_path):
        bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        features = (*bundles.TABULAR.features[:3], Feature("height", "number", nullable=True))
        schema = msgspec.structs.replace(bundles.TABULAR, features=features, retired=("fax", "member"))
        bundles.promote(var, tmp_path / "two", schema, version="2")
        until(lambda: manager.live.version == "2")

    def test_a_use_case_may_allow_a_slower_network(self, start_manager, var, tmp_path):
        bundles.promote(var, tmp_path / "one", version="1")
        manager = start_manager()
        bundles.promote(var, tmp_path / "two", version="2", slow=20, serving={"swap_ratio": 1e6})
        until(lambda: manager.live.version == "2")

    def test_the_ratio_of_equal_networks_is_about_one(self, tmp_path):
        bundles.write(tmp_path / "one", slow=4)
        bundles.write(tmp_path / "two", slow=4, bias=0.1)
        one, two = load(tmp_path / "one", "loans"), load(tmp_path / "two", "loans")
        assert 0.5 < slowdown(one, two) < 2


class TestStart:
    def test_without_a_pointer_it_waits(self, start_manager):
        manager = start_manager()
        assert manager.live is None and manager.problem is None

    def test_the_first_promotion_is_served(self, start_manager, var, tmp_path):
        manager = start_manager()
        bundles.promote(var, tmp_path / "one", version="1")
        until(lambda: manager.live is not None and manager.live.version == "1")

    def test_after_the_wait_the_packaged_bundle_serves_until_a_promotion(
        self, start_manager, var, tmp_path, monkeypatch
    ):
        bundles.write(tmp_path / "image" / "loans")
        monkeypatch.setenv("SLIPWAY_PACKAGED", str(tmp_path / "image"))
        monkeypatch.setenv("SLIPWAY_START_WAIT_SECONDS", "0.6")
        manager = start_manager()
        assert manager.live is None
        until(lambda: manager.live is not None, 5)
        assert manager.live.source == "packaged"
        until(lambda: state(var).source == "packaged")
        bundles.promote(var, tmp_path / "two", version="2", bias=0.3)
        until(lambda: manager.live.version == "2")
        assert manager.live.source == "pointer"

    def test_the_pointer_takes_precedence_over_the_packaged_bundle(self, start_manager, var, tmp_path, monkeypatch):
        bundles.write(tmp_path / "image" / "loans", bias=0.3)
        bundles.promote(var, tmp_path / "one", version="1")
        monkeypatch.setenv("SLIPWAY_PACKAGED", str(tmp_path / "image"))
        monkeypatch.setenv("SLIPWAY_START_WAIT_SECONDS", "0")
        assert start_manager().live.source == "pointer"

    def test_a_worker_that_starts_with_a_refused_pointer_serves_the_previous_bundle(self, start_manager, var, tmp_path):
        bundles.promote(var, tmp_path / "one", version="1")
        start_manager().stop()
        bundles.promote(var, tmp_path / "two", version="2", passed=False)
        manager = start_manager()
        found = state(var)
        assert manager.live.version == found.version == "1"
        assert found.roles["champion"].outcome == "refused"
        assert found.roles["champion"].version == "2"

    def test_a_named_bundle_takes_precedence_over_the_pointer(self, start_manager, var, tmp_path, monkeypatch):
        bundles.promote(var, tmp_path / "one", version="1")
        digest = bundles.write(tmp_path / "two", bias=0.3)
        monkeypatch.setenv("SLIPWAY_BUNDLE", str(tmp_path / "two"))
        manager = start_manager()
        assert (manager.live.digest, manager.live.source) == (digest, "bundle")
        assert state(var).source == "bundle"

    def test_a_named_bundle_that_is_broken_stops_the_start(self, start_manager, tmp_path, monkeypatch):
        bundles.write(tmp_path / "two")
        _changed_byte(tmp_path / "two")
        monkeypatch.setenv("SLIPWAY_BUNDLE", str(tmp_path / "two"))
        with pytest.raises(BundleError, match="not what was registered"):
            start_manager()

    def test_a_required_gpu_that_is_missing_prevents_the_start(self, start_manager, var, tmp_path, monkeypatch):
        bundles.promote(var, tmp_path / "one")
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
        monkeypatch.setenv("SLIPWAY_DEVICE", "gpu")
        with pytest.raises(SettingsError, match="GPU was asked for"):
            start_manager()


def test_ten_swaps_under_requests_fail_none(start_client, var, tmp_path):
    client = start_client()
    folders = [tmp_path / f"v{number}" for number in range(2, 12)]
    statuses, stopping = [], threading.Event()

    def predict() -> None:
        while not stopping.is_set():
            statuses.append(client.predict(bundles.ROWS["loans"][0]).status)

    caller = threading.Thread(target=predict)
    caller.start()
    for number, folder in enumerate(folders, start=2):
        bundles.promote(var, folder, version=str(number), bias=number / 10)
        until(lambda number=number: client.worker.served["loans"].live.version == str(number))
    stopping.set()
    caller.join()
    assert set(statuses) == {200}
    info = {"usecase": "loans", "role": "champion", "source": "pointer", "device": "cpu"}
    assert client.metric("slipway_model_info", version="11", **info) == 1
    assert client.metric("slipway_model_info", version="10", **info) == 0
