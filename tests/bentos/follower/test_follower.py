"""The follower with a registry in memory that records its calls; test_follower_registry has the real one."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bentos.follower import bundle_store
from bentos.follower.desired_versions import DesiredVersions, desired_versions
from bentos.follower.follower import Follower
from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel, Registry
from slipway.contracts.bundle import manifest
from slipway.errors import BundleError, NotFound, RegistryError
from slipway.serving_state import desired, follower_status, last_good
from slipway.serving_state.desired import Canary
from slipway.serving_state.observed import StateFile, WorkerState
from slipway.settings import Settings, settings
from slipway.system import files
from tests.bentos.models.broken_bundles import BREAKS, change_a_byte, mix_up_the_digest
from tests.support import bundles

NAME = bundles.TABULAR.usecase


def full_below(folder: Path) -> Callable[[Path], None]:
    """Build a `sync` of a disk without space left in a folder."""

    def sync(path: Path) -> None:
        if path.is_relative_to(folder):
            raise OSError(28, "No space left on device")

    return sync


class MemoryRegistry(Registry):
    """A registry of one model: versions are directories, and every call is recorded."""

    def __init__(self) -> None:
        super().__init__("http://registry.test")
        self.aliases: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.known: dict[str, tuple[ModelVersion, Path]] = {}
        self.calls: list[str] = []
        self.down = False
        self.created_ms = 1

    def add(self, directory: Path, number: str, **tags: str) -> str:
        digest = files.file_sha256(directory / manifest.MANIFEST)
        self.known[number] = (ModelVersion(NAME, number, "run", "there", {}), directory)
        self.tag(number, {"slipway.bundle_sha256": digest} | {f"slipway.{key}": value for key, value in tags.items()})
        return digest

    def tag(self, number: str, tags: dict[str, str]) -> None:
        version, directory = self.known[number]
        self.known[number] = (dataclasses.replace(version, tags={**version.tags, **tags}), directory)

    def model(self, name: str) -> RegisteredModel:
        self._answer("model")
        if not self.known:
            raise NotFound("no such model")
        return RegisteredModel(name, dict(self.aliases), dict(self.tags), self.created_ms)

    def version(self, name: str, version: str) -> ModelVersion:
        self._answer(f"version {version}")
        return self.known[version][0]

    def fetch_bundle(self, version: ModelVersion, into: Path, *, serving_only: bool = True) -> str:
        self._answer(f"bundle {version.version}")
        source = self.known[version.version][1]
        for name in (manifest.MANIFEST, *manifest.SERVER_FILES):
            if not (source / name).exists():
                raise BundleError(f"{name} is missing.")
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, into / name)
        manifest.verify(into, version.digest, serving_only=True)
        return version.digest or ""

    def _answer(self, what: str) -> None:
        self.calls.append(what)
        if self.down:
            raise RegistryError("the registry does not respond.")


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def found(var: Path) -> Settings:
    return settings()


@pytest.fixture
def following(registry: MemoryRegistry, found: Settings, caplog: pytest.LogCaptureFixture) -> Follower:
    caplog.set_level(logging.INFO, "slipway.follower")
    return Follower(NAME, registry, found)


@pytest.fixture
def make(tmp_path: Path, registry: MemoryRegistry):
    """`make("2", override="ann: why")` registers a unique bundle; `passed=False` fails its gate."""

    def make(number: str, passed: bool = True, **tags: str) -> str:
        directory = tmp_path / f"made-{number}"
        bundles.write(directory, bias=float(number), passed=passed)
        return registry.add(directory, number, **tags)

    return make


def pointed(found: Settings) -> desired.DesiredState | None:
    return desired.read(found.serving, NAME)


def refused(found: Settings) -> dict[str, str]:
    return {number: refusal.reason for number, refusal in follower_status.read_refusals(found.serving, NAME).items()}


def test_a_champion_is_fetched_and_pointed_at(following, registry, found, make) -> None:
    digest = make("1")
    registry.aliases["champion"] = "1"
    following.poll()
    assert pointed(found) == desired.DesiredState(1, digest)
    assert desired.stored_version(found.store / digest) == desired.StoredVersion(NAME, "1", digest, "run")
    manifest.verify(found.store / digest, digest, serving_only=True)
    assert not (found.store / digest / "monitor").exists(), "the server gets its own part only"


def test_a_poll_without_a_change_is_one_request(following, registry, make) -> None:
    make("1")
    registry.aliases["champion"] = "1"
    following.poll()
    registry.calls.clear()
    following.poll()
    following.poll()
    assert registry.calls == ["model", "model"]


def test_a_model_that_was_made_anew_between_two_polls_is_noticed(following, registry, found, make, tmp_path) -> None:
    """Its champion is version 1, as that of the model which was deleted."""
    make("1")
    registry.aliases["champion"] = "1"
    following.poll()
    bundles.write(tmp_path / "anew", bias=5.0)
    digest = registry.add(tmp_path / "anew", "1")
    registry.created_ms = 2
    following.poll()
    assert pointed(found) == desired.DesiredState(2, digest)


def test_a_promotion_of_a_stored_bundle_fetches_nothing(following, registry, found, make) -> None:
    first, second = make("1"), make("2")
    for number in ("1", "2", "1"):
        registry.aliases["champion"] = number
        following.poll()
    assert registry.calls.count("bundle 1") == registry.calls.count("bundle 2") == 1
    assert (first, 3) == (pointed(found).champion, pointed(found).generation) and first != second


def test_every_role_is_in_the_pointer(following, registry, found, make) -> None:
    one, two, three = make("1"), make("2"), make("3")
    registry.aliases |= {"champion": "1", "canary": "2", "shadow": "3"}
    registry.tags["slipway.canary"] = json.dumps({"version": "2", "weight": 25, "stage": 1, "salt": "ab12"})
    following.poll()
    assert pointed(found) == desired.DesiredState(1, one, Canary(two, 25.0, "ab12"), three)
    del registry.aliases["canary"], registry.aliases["shadow"]
    following.poll()
    assert pointed(found) == desired.DesiredState(2, one)


@pytest.mark.parametrize("tag", ["", "no json", "[]", '{"version": "1", "weight": 5}', '{"version": "2"}'])
def test_a_canary_without_a_weight_of_its_own_gets_no_traffic(tag: str) -> None:
    model = RegisteredModel(NAME, {"champion": "1", "canary": "2"}, {"slipway.canary": tag})
    assert desired_versions(model, "champion") == DesiredVersions("1", None, 0.0, None)


def test_staging_follows_the_challenger(registry, make, monkeypatch) -> None:
    monkeypatch.setenv("SLIPWAY_ENVIRONMENT", "staging")
    settings.cache_clear()
    digest = make("2")
    registry.aliases["challenger"] = "2"
    Follower(NAME, registry, settings()).poll()
    assert pointed(settings()) == desired.DesiredState(1, digest)


@pytest.mark.parametrize("tamper", BREAKS)
def test_a_broken_bundle_is_refused_with_the_reason_and_the_old_one_stays(
    tamper, following, registry, found, make, tmp_path
) -> None:
    good = make("1")
    registry.aliases["champion"] = "1"
    following.poll()
    bundles.write(tmp_path / "broken", bias=2.0)
    reason = tamper(tmp_path / "broken")
    registry.add(tmp_path / "broken", "2")
    if tamper is mix_up_the_digest:
        registry.tag("2", {"slipway.bundle_sha256": "0" * 64})
    registry.aliases["champion"] = "2"
    following.poll()
    assert pointed(found) == desired.DesiredState(1, good)
    assert list(refused(found)) == ["2"] and reason in refused(found)["2"]
    assert ".incoming" not in refused(found)["2"], "people read it on the version: no name of a passing folder"
    assert [path.name for path in found.store.iterdir()] == [good], "nothing half-fetched is left"


def test_a_refused_version_is_fetched_again_only_when_something_about_it_changed(
    following, registry, found, make
) -> None:
    digest = make("1", passed=False)
    registry.aliases["champion"] = "1"
    for _ in range(3):
        following.poll()
        registry.tag("1", {"slipway.serving.local": "refused: its gates failed"})
    assert registry.calls.count("bundle 1") == 1
    registry.tag("1", {"slipway.override": "ann: the pilot runs on ten customers who know"})
    following.poll()
    assert pointed(found).champion == digest and refused(found) == {}
    assert desired.stored_version(found.store / digest).override == "ann: the pilot runs on ten customers who know"


def test_a_refused_version_is_tried_again_when_the_alias_returns(following, registry, found, make) -> None:
    make("1")
    make("2", passed=False)
    for number in ("2", "1", "2"):
        registry.aliases["champion"] = number
        following.poll()
    assert registry.calls.count("bundle 2") == 2


@pytest.mark.parametrize("override", ["yes", "ann:", ": because", "   :  "])
def test_an_override_needs_an_author_and_a_reason(override, following, registry, found, make) -> None:
    make("1", passed=False, override=override)
    registry.aliases["champion"] = "1"
    following.poll()
    assert "`WHO: WHY`" in refused(found)["1"]


def test_a_withdrawn_override_takes_effect_at_the_next_promotion(following, registry, found, make) -> None:
    make("1", passed=False, override="ann: a trial")
    good = make("2")
    for number in ("1", "2"):
        registry.aliases["champion"] = number
        following.poll()
    registry.tag("1", {"slipway.override": ""})
    registry.aliases["champion"] = "1"
    following.poll()
    assert pointed(found).champion == good and "its gates failed" in refused(found)["1"]


def test_a_version_tagged_refused_is_not_even_fetched(following, registry, found, make) -> None:
    make("1", refused="twice as slow as the champion")
    registry.aliases["champion"] = "1"
    following.poll()
    assert "twice as slow as the champion" in refused(found)["1"]
    assert "bundle 1" not in registry.calls


def test_a_bundle_of_another_use_case_is_refused(following, registry, found, tmp_path) -> None:
    bundles.write(tmp_path / "prices", bundles.REGRESSION)
    registry.add(tmp_path / "prices", "1")
    registry.aliases["champion"] = "1"
    following.poll()
    assert "of the use case 'prices'" in refused(found)["1"]


def test_a_refused_canary_leaves_no_canary(following, registry, found, make) -> None:
    champion = make("1")
    make("2", passed=False)
    registry.aliases |= {"champion": "1", "canary": "2"}
    registry.tags["slipway.canary"] = '{"version": "2", "weight": 5, "stage": 0}'
    following.poll()
    assert pointed(found) == desired.DesiredState(1, champion)
    assert follower_status.read_refusals(found.serving, NAME)["2"].alias == "canary"


def test_a_registry_that_does_not_answer_keeps_the_desired_state_and_is_logged_once(
    following, registry, found, make, caplog
) -> None:
    first, second = make("1"), make("2")
    registry.aliases["champion"] = "1"
    following.poll()
    registry.down = True
    for _ in range(3):
        following.poll()
    assert pointed(found).champion == first
    assert caplog.text.count("does not respond") == 1
    registry.down = False
    registry.aliases["champion"] = "2"
    following.poll()
    assert "answers again" in caplog.text and pointed(found).champion == second


def test_a_registry_that_ends_during_the_fetch_refuses_nothing(following, registry, found, make, monkeypatch) -> None:
    digest = make("1")
    registry.aliases["champion"] = "1"
    with monkeypatch.context() as patch:
        patch.setattr(registry, "fetch_bundle", lambda *_, **__: registry.fetch_artifact("run", "x", found.store))
        patch.setattr(registry, "run", lambda _: (_ for _ in ()).throw(RegistryError("broke off")))
        following.poll()
    assert refused(found) == {} and list(found.store.iterdir()) == []
    following.poll()
    assert pointed(found).champion == digest


def test_a_full_disk_is_logged_once_and_nothing_is_left(following, registry, found, make, monkeypatch, caplog) -> None:
    digest = make("1")
    registry.aliases["champion"] = "1"
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", full_below(found.store))
        following.poll()
        following.poll()
    assert caplog.text.count("No space left on device") == 1 and list(found.store.iterdir()) == []
    following.poll()
    assert pointed(found).champion == digest


def test_another_program_on_the_registrys_port_is_logged_once(following, registry, monkeypatch, caplog) -> None:
    monkeypatch.setattr(registry, "model", lambda name: {}["registered_model"])
    following.poll()
    following.poll()
    assert caplog.text.count("cannot follow: KeyError('registered_model')") == 1


def test_a_deleted_alias_leaves_the_served_bundle(following, registry, found, make, caplog) -> None:
    digest = make("1")
    registry.aliases["champion"] = "1"
    following.poll()
    del registry.aliases["champion"]
    following.poll()
    assert pointed(found).champion == digest
    assert "the alias champion is gone" in caplog.text


def test_without_a_champion_the_message_names_the_command_to_run(following, found, caplog) -> None:
    following.poll()
    assert f"`slipway promote {NAME} VERSION`" in caplog.text
    assert pointed(found) is None


def test_a_stored_bundle_whose_byte_changed_is_fetched_again(following, registry, found, make) -> None:
    digest = make("1")
    registry.aliases["champion"] = "1"
    following.poll()
    change_a_byte(found.store / digest)
    following.close()
    Follower(NAME, registry, found).poll()
    manifest.verify(found.store / digest, digest, serving_only=True)
    assert registry.calls.count("bundle 1") == 2


def test_the_last_three_bundles_are_kept_and_what_a_worker_serves(following, registry, found, make) -> None:
    digests = [make(str(number)) for number in range(1, 6)]
    registry.aliases["champion"] = "1"
    following.poll()
    state = WorkerState(1, 1, digests[0], "1", "cpu", "pointer", "2026-01-01T00:00:00Z")
    worker = StateFile(found.serving, NAME)
    worker.write(state)
    for number in ("2", "3", "4", "5"):
        registry.aliases["champion"] = number
        following.poll()
    assert {path.name for path in found.store.iterdir()} == {digests[0], *digests[2:]}


def test_the_last_bundle_of_an_ended_worker_is_kept(following, registry, found, make) -> None:
    digests = [make(str(number)) for number in range(1, 6)]
    for number in range(1, 6):
        registry.aliases["champion"] = str(number)
        following.poll()
        if number == 1:
            last_good.write(found.serving, NAME, digests[0])
    assert {path.name for path in found.store.iterdir()} == {digests[0], *digests[2:]}


def test_bundles_of_other_use_cases_are_not_pruned(found, tmp_path) -> None:
    mine = bundles.write(tmp_path / "mine", bundles.REGRESSION)
    bundles.put_in_store(found.var, tmp_path / "mine")
    bundle_store.prune(found.store, NAME, ())
    assert (found.store / mine).is_dir()


def test_a_second_follower_stands_by_until_the_first_ends(following, registry, found, make, caplog) -> None:
    first, second = make("1"), make("2")
    registry.aliases["champion"] = "1"
    following.poll()
    other = Follower(NAME, registry, found)
    registry.aliases["champion"] = "2"
    other.poll()
    assert pointed(found).champion == first and "stands by" in caplog.text
    following.close()
    other.poll()
    assert pointed(found).champion == second


def test_drafts_of_a_version_are_pruned_once_they_are_stale(found, tmp_path) -> None:
    bundles.write(tmp_path / "one")
    stored = bundles.put_in_store(found.var, tmp_path / "one")
    stale, fresh = stored / ".version.json.1-a.tmp", stored / ".version.json.2-b.tmp"
    for draft in (stale, fresh):
        draft.write_text("{")
    os.utime(stale, (0, 0))
    bundle_store.prune(found.store, NAME, ())
    assert (stale.exists(), fresh.exists()) == (False, True)
