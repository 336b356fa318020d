"""A bundle that needs more memory or time than there is, or that kills its process, stops nothing that serves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bentos.models import ModelManager
from bentos.models.load_journal import MOST_DEATHS, LoadJournal
from slipway.errors import BundleError
from slipway.inference import sandbox
from slipway.inference.sandbox import require_survival
from slipway.serving_state import observed
from slipway.serving_state.desired import Canary
from slipway.serving_state.observed import RoleState
from slipway.settings import settings
from slipway.system import memory
from tests.bentos.models.hostile_bundles import grow, rewrite_manifest
from tests.support import bundles

pytestmark = pytest.mark.slow
FOR_ROLES = ["champion", "canary", "shadow"]
LITTLE = sandbox.MIN_BYTES


@pytest.fixture
def stored(var: Path, tmp_path: Path) -> tuple[Path, str]:
    digest = bundles.write(tmp_path / "loans")
    return bundles.put_in_store(var, tmp_path / "loans"), digest


@pytest.fixture
def hungry(var: Path, tmp_path: Path) -> tuple[Path, str]:
    """A stored bundle whose network needs 400 MB for a row."""
    bundles.write(tmp_path / "hungry", bias=0.5)
    grow(tmp_path / "hungry")
    digest = rewrite_manifest(tmp_path / "hungry")
    return bundles.put_in_store(var, tmp_path / "hungry", "2"), digest


@pytest.fixture
def manager(
    var: Path, tmp_path: Path, sandboxed_loads: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModelManager]:
    """A worker on a machine with little memory that serves version 1."""
    monkeypatch.setattr("bentos.models.model_manager.POLL_SECONDS", 0.02)
    monkeypatch.setattr(memory, "available_bytes", lambda: 0)
    bundles.promote(var, tmp_path / "one", version="1")
    settings.cache_clear()
    running = ModelManager("loans", settings(), lambda *_: None)
    running.start()
    yield running
    running.stop()


def decided(var: Path, role: str) -> RoleState:
    """Wait until the worker has decided on the role, and return its state."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        (state,) = observed.read(var / "serving", "loans")
        found = state.roles.get(role)
        if found and found.outcome != "loading" and found.version == "2":
            return found
        time.sleep(0.02)
    raise AssertionError("the worker did not decide")


class TestSandbox:
    def test_a_good_bundle_survives(self, stored):
        require_survival(*stored, LITTLE)

    def test_a_network_that_needs_more_memory_than_is_left_is_refused_with_the_limit(self, hungry):
        with pytest.raises(BundleError, match=r"a sandboxed load with the 128 MiB that each worker .* failed: .*alloc"):
            require_survival(*hungry, LITTLE)

    def test_a_network_that_takes_too_long_is_refused(self, stored, monkeypatch):
        monkeypatch.setattr(sandbox, "SANDBOX_SECONDS", 0.01)
        with pytest.raises(BundleError, match="took more than 0 s: make the network smaller"):
            require_survival(*stored, LITTLE)

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
    def test_a_network_that_kills_its_process_is_refused(self, stored, tmp_path, monkeypatch, number):
        killed = tmp_path / "killed"
        killed.write_text(f"#!/bin/sh\nkill -{int(number)} $$\n")
        killed.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(killed))
        with pytest.raises(BundleError, match=f"was killed by {number.name}"):
            require_survival(*stored, LITTLE)

    def test_a_sandbox_that_cannot_run_is_no_fault_of_the_bundle(self, stored, monkeypatch):
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(OSError, match="could not run"):
            require_survival(*stored, LITTLE)

    def test_it_is_the_first_that_the_kernel_ends(self):
        shown = "print(open('/proc/self/oom_score_adj').read())"
        code = f"from slipway.inference import sandbox; sandbox._yield_to_those_who_serve(); {shown}"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert int(found.stdout) == 1000

    def test_the_bytes_in_the_sandbox_are_those_of_the_digest(self, stored):
        directory, digest = stored
        (directory / "serve/schema.json").write_text("{}")
        with pytest.raises(OSError, match="could not run: .* not what was registered"):
            require_survival(directory, digest, LITTLE)


class TestWorker:
    @pytest.mark.parametrize("role", FOR_ROLES)
    def test_a_bundle_that_needs_too_much_memory_is_refused_and_the_old_one_serves(self, manager, var, hungry, role):
        _, digest = hungry
        serving = manager.live
        roles = {"canary": {"canary": Canary(digest, 10)}, "shadow": {"shadow": digest}}.get(role, {})
        bundles.point(var, "loans", digest if role == "champion" else serving.digest, **roles)
        state = decided(var, role)
        assert state.outcome == "refused"
        assert "a sandboxed load with the 128 MiB" in state.reason
        assert manager.live is serving

    def test_a_worker_that_starts_with_it_serves_what_served_last(self, manager, var, hungry):
        manager.stop()
        bundles.point(var, "loans", hungry[1])
        again = ModelManager("loans", settings(), lambda *_: None)
        again.start()
        assert again.live.version == "1"
        assert "a sandboxed load" in again.problem
        again.stop()

    def test_workers_of_a_machine_need_one_sandbox_together(self, manager, var, tmp_path, monkeypatch):
        loaded = []
        monkeypatch.setattr(sandbox, "require_survival", lambda *given: loaded.append(given))
        digest = bundles.promote(var, tmp_path / "two", version="2", bias=0.3)
        decided(var, "champion")
        manager.stop()
        (var / "serving/loans/served.json").write_text(json.dumps("0" * 64))
        again = ModelManager("loans", settings(), lambda *_: None)
        again.start()
        again.stop()
        assert [given[1] for given in loaded] == [digest]


class TestJournal:
    """What a worker leaves that dies of a load, as by the kernel's hand: it cannot say so itself."""

    def die(self, var: Path, digest: str, generation: int = 1) -> None:
        """End a process in the midst of a load."""
        if os.fork() == 0:
            with LoadJournal(var / "serving/loans/loads.json").loading(digest, generation):
                os.kill(os.getpid(), signal.SIGKILL)
        os.wait()

    def start(self) -> ModelManager:
        settings.cache_clear()
        manager = ModelManager("loans", settings(), lambda *_: None)
        manager.start()
        return manager

    def test_a_bundle_that_workers_died_of_is_refused_until_it_is_promoted_anew(self, var, tmp_path):
        bundles.promote(var, tmp_path / "one", version="1")
        self.start().stop()
        digest = bundles.promote(var, tmp_path / "two", version="2", bias=0.3)
        for _ in range(MOST_DEATHS):
            self.die(var, digest, generation=2)
        manager = self.start()
        (state,) = observed.read(var / "serving", "loans")
        assert (manager.live.version, state.roles["champion"].outcome) == ("1", "refused")
        assert "2 processes of this machine ended while they loaded it" in state.roles["champion"].reason
        manager.stop()
        bundles.point(var, "loans", digest)
        manager = self.start()
        assert manager.live.version == "2"
        manager.stop()

    def test_a_single_death_may_have_another_cause(self, var, tmp_path):
        self.die(var, bundles.promote(var, tmp_path / "one"))
        manager = self.start()
        assert manager.live.version == "1"
        manager.stop()

    def test_a_load_that_ends_clears_the_mark_also_where_it_fails(self, tmp_path):
        journal = LoadJournal(tmp_path / "loads.json")
        for _ in range(MOST_DEATHS + 1):
            with pytest.raises(KeyError), journal.loading("a", 1):
                raise KeyError

    @pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b'{"a": 1}', None])
    def test_a_damaged_journal_is_an_empty_one(self, tmp_path: Path, content: bytes | None):
        path = tmp_path / "loads.json"
        path.write_bytes(content) if content is not None else path.mkdir()
        journal = LoadJournal(path)
        with journal.loading("a", 1):
            assert not journal.has_survived("a")


class TestMemory:
    """The memory that is left, on machines as the kernel describes them."""

    @pytest.fixture
    def machine(self, tmp_path: Path) -> Callable[..., int | None]:
        def available(membership: str = "", **groups: dict[str, str]) -> int | None:
            proc = tmp_path / "proc"
            (proc / "self").mkdir(parents=True)
            (proc / "meminfo").write_text("MemTotal: 9999 kB\nMemAvailable: 4096 kB\n")
            (proc / "self" / "cgroup").write_text(membership)
            for path, content in groups.items():
                folder = tmp_path / "cgroups" / path.replace("__", "/").strip("/")
                folder.mkdir(parents=True, exist_ok=True)
                for name, text in content.items():
                    (folder / name).write_text(text)
            return memory.available_bytes(proc, tmp_path / "cgroups")

        return available

    def v2(self, most: str, used: int, inactive: int = 0) -> dict[str, str]:
        return {"memory.max": most, "memory.current": str(used), "memory.stat": f"inactive_file {inactive}\n"}

    def test_without_control_groups_it_is_the_kernels(self, machine):
        assert machine() == 4096 * 1024

    def test_the_least_of_all_groups_above_counts_and_what_is_cached_can_be_given_back(self, machine):
        inner, outer = self.v2("max", 5), self.v2("3000000", 1_000_000, 500_000)
        assert machine("0::/pods/one\n", pods__one=inner, pods=outer) == 2_500_000

    def test_a_container_sees_its_own_group_at_the_top(self, machine):
        assert machine("0::/kubepods/pod7/abc\n", __=self.v2("2000000", 1_500_000)) == 500_000

    def test_the_first_version_of_control_groups(self, machine):
        group = {
            "memory.limit_in_bytes": "900000",
            "memory.usage_in_bytes": "100000",
            "memory.stat": "total_inactive_file 50000\n",
        }
        assert machine("4:memory:/one\n1:cpu:/\n", memory__one=group) == 850_000

    def test_a_group_over_its_limit_has_nothing_left(self, machine):
        assert machine("0::/\n", __=self.v2("1000", 2000)) == 0

    def test_a_system_without_proc_says_nothing(self, tmp_path):
        assert memory.available_bytes(tmp_path, tmp_path) is None
