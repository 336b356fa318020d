"""What people do in the MLflow UI is noticed and written down once; what commands wrote is not written again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monitoring.governance import registry_snapshot
from monitoring.governance.artifact_check import ROUND_SECONDS
from monitoring.governance.registry_watcher import SETTLE_SECONDS, RegistryWatcher
from monitoring.release.promotion import promote
from monitoring.rollout.rollback import roll_back
from slipway import audit
from slipway.clients.mlflow.documents import Accepted
from slipway.clients.mlflow.registry import Registry
from slipway.settings import settings
from tests.conftest import NOWHERE
from tests.support import bundles
from tests.support.servers import publish, unique_name


class RegisteredModel:
    """A registered model of two versions, `slipway watch`'s eyes on it, and a clock that the test turns."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry, self.name, self.now = registry, unique_name("loans"), 0.0
        self._folder = folder
        bundles.write(folder)
        for _ in range(2):
            self.register()
        self.restart()

    def register(self) -> str:
        return publish(self.registry.uri, self.name, self._folder)

    def restart(self) -> None:
        self.changes = RegistryWatcher(settings(), Registry(settings().registry_uri), lambda: self.now)

    def alias(self, name: str, version: str) -> None:
        self.registry.set_alias(self.name, name, version)

    def tag(self, version: str, key: str, value: str) -> None:
        self.registry.set_version_tag(self.name, version, key, value)

    def delete(self, version: str) -> None:
        self.registry._send(Accepted, "DELETE", "model-versions/delete", name=self.name, version=version)

    def change_store(self, file: str, content: bytes) -> None:
        self.registry.put_artifact(self.registry.version(self.name, "1").source, file, content)

    def settled(self) -> list[str]:
        """Run two passes, with the time between them after which a change is final."""
        self.changes.once(self.name)
        self.now += SETTLE_SECONDS
        return self.changes.once(self.name)

    def rounds(self) -> list[str]:
        """Run passes until every file of the store was checked again; return the last warnings."""
        self.now += ROUND_SECONDS
        for _ in range(8):
            found = self.settled()
        return found

    def audit_entries(self) -> list[tuple[str, str | None, str]]:
        return [(line.action, line.version, line.who) for line in audit.lines(self.name)]


@pytest.fixture
def model(mlflow_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RegisteredModel:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    found = RegisteredModel(Registry(mlflow_server), tmp_path / "bundle")
    found.changes.once(found.name)
    return found


def test_an_alias_that_was_moved_in_the_ui_is_written_down_once(model: RegisteredModel) -> None:
    model.alias("champion", "1")
    model.settled()
    model.alias("champion", "2")
    model.settled()
    model.settled()
    assert model.audit_entries() == [("alias.moved", "1", audit.UNKNOWN), ("alias.moved", "2", audit.UNKNOWN)]
    last = audit.lines(model.name)[-1]
    assert {key: last.evidence[key] for key in ("alias", "from", "to")} == {"alias": "champion", "from": "1", "to": "2"}


def test_an_alias_that_was_removed_is_written_down_with_the_version_that_it_left(model: RegisteredModel) -> None:
    model.alias("shadow", "1")
    model.settled()
    model.registry.delete_alias(model.name, "shadow")
    model.settled()
    assert model.audit_entries()[-1][:2] == ("alias.moved", "1")
    assert audit.lines(model.name)[-1].evidence["to"] is None


def test_nothing_is_written_before_a_command_had_the_time_to_write_it_itself(model: RegisteredModel) -> None:
    model.alias("champion", "1")
    model.changes.once(model.name)
    evidence = {"alias": "champion", "from": None, "to": "1"}
    audit.append(model.name, "promoted", who="ann@laptop", version="1", evidence=evidence)
    model.settled()
    assert model.audit_entries() == [("promoted", "1", "ann@laptop")]


def test_a_line_stands_for_one_move_only(model: RegisteredModel) -> None:
    """The command's line of a moment ago does not hide that a person repeated the change."""
    model.alias("champion", "1")
    evidence = {"alias": "champion", "from": None, "to": "1"}
    audit.append(model.name, "promoted", who="ann@laptop", version="1", evidence=evidence)
    model.settled()
    for version in ("2", "1"):
        model.alias("champion", version)
        model.settled()
    assert [action for action, *_ in model.audit_entries()] == ["promoted", "alias.moved", "alias.moved"]


def test_a_watch_that_was_restarted_writes_nothing_twice_and_misses_nothing(model: RegisteredModel) -> None:
    model.alias("champion", "1")
    model.settled()
    model.restart()
    model.settled()
    assert len(model.audit_entries()) == 1
    model.alias("champion", "2")
    model.restart()
    model.settled()
    assert [version for _, version, _ in model.audit_entries()] == ["1", "2"]


def test_a_watch_that_was_killed_between_line_and_memory_writes_nothing_twice(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.alias("champion", "1")
    monkeypatch.setattr(registry_snapshot, "write", lambda *_: None)
    model.settled()
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", model.registry.uri)
    model.restart()
    model.settled()
    assert len(model.audit_entries()) == 1


def test_the_challenger_that_training_names_is_no_riddle(model: RegisteredModel) -> None:
    model.alias("challenger", model.register())
    model.settled()
    assert model.audit_entries() == [("alias.moved", "3", "slipway train")]


def test_an_override_tells_who_and_why_and_a_lifted_refusal_what_it_was(model: RegisteredModel) -> None:
    model.tag("1", "slipway.override", "Ann: the slice is too small")
    model.tag("2", "slipway.refused", "it answers NaN")
    model.settled()
    model.registry.delete_version_tag(model.name, "2", "slipway.refused")
    model.settled()
    overridden, lifted = audit.lines(model.name)
    assert (overridden.action, overridden.who, overridden.why) == ("overridden", "Ann", "the slice is too small")
    assert (lifted.action, lifted.version, lifted.evidence["refused"]) == ("refusal.lifted", "2", "it answers NaN")


def test_pausing_retraining_and_going_on_is_written_down(model: RegisteredModel) -> None:
    model.registry.set_model_tag(model.name, "slipway.retraining", "paused: Ann: the labels are wrong")
    model.settled()
    model.registry._send(Accepted, "DELETE", "registered-models/delete-tag", name=model.name, key="slipway.retraining")
    model.settled()
    paused, resumed = audit.lines(model.name)
    assert (paused.action, paused.who, paused.why) == ("retraining.paused", "Ann", "the labels are wrong")
    assert resumed.action == "retraining.resumed"


def test_a_deleted_version_is_recorded_and_reported_for_a_day(model: RegisteredModel) -> None:
    model.delete("1")
    assert model.settled() == ["version 1 was deleted from the registry."]
    assert model.audit_entries() == [("version.deleted", "1", audit.UNKNOWN)]
    model.restart()
    assert model.settled() == ["version 1 was deleted from the registry."]
    assert len(model.audit_entries()) == 1


def test_a_deleted_model_is_recorded_version_by_version(model: RegisteredModel) -> None:
    model.registry._send(Accepted, "DELETE", "registered-models/delete", name=model.name)
    model.settled()
    assert [(action, version) for action, version, _ in model.audit_entries()] == [
        ("version.deleted", "1"),
        ("version.deleted", "2"),
    ]


def test_a_model_that_is_made_anew_was_deleted_and_not_altered(model: RegisteredModel, tmp_path: Path) -> None:
    """Its versions have the numbers of those that are gone, and other bundles."""
    model.registry._send(Accepted, "DELETE", "registered-models/delete", name=model.name)
    bundles.write(tmp_path / "new", bias=2.0)
    publish(model.registry.uri, model.name, tmp_path / "new")
    assert sorted(model.settled()) == [f"version {number} was deleted from the registry." for number in ("1", "2")]
    deleted = [("version.deleted", "1"), ("version.deleted", "2")]
    assert [(action, version) for action, version, _ in model.audit_entries()] == deleted
    model.restart()
    model.settled()
    assert not [warning for warning in model.rounds() if "altered" in warning]
    assert len(model.audit_entries()) == 2


def test_a_replaced_digest_is_reported_until_it_is_restored(model: RegisteredModel) -> None:
    right = model.registry.version(model.name, "1").digest
    model.tag("1", "slipway.bundle_sha256", "e" * 64)
    model.settled()
    model.restart()
    assert any("version 1 was altered: its tag" in warning for warning in model.settled())
    assert [(action, version) for action, version, _ in model.audit_entries()] == [("version.altered", "1")]
    model.tag("1", "slipway.bundle_sha256", str(right))
    for _ in range(3):
        model.settled()
    assert not [warning for warning in model.settled() if "its tag" in warning]


@pytest.mark.parametrize("file", ["manifest.json", "serve/model.onnx"])
def test_a_changed_file_in_the_store_is_found_within_a_round_and_its_mending_too(
    model: RegisteredModel, file: str
) -> None:
    source = model.registry.version(model.name, "1").source
    before = model.registry.small_artifact(source, file)
    model.alias("champion", "1")
    model.change_store(file, b"something else")
    warnings = model.rounds()
    assert warnings == [f"version 1 was altered in the store: {file} is not what was registered."]
    assert [line.version for line in audit.lines(model.name) if line.action == "version.altered"] == ["1"]
    model.change_store(file, before)
    assert model.rounds() == []


def test_a_file_in_the_store_is_checked_once_in_ten_minutes(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.settled()
    checked: list[str] = []
    read = Registry.sha256
    monkeypatch.setattr(Registry, "sha256", lambda self, *file: checked.append(file[1]) or read(self, *file))
    model.rounds()
    whole_round = len(checked)
    assert whole_round == 2, "the manifest of each version, none of which has an alias"
    for _ in range(4):
        model.settled()
    assert len(checked) == whole_round
    model.register()
    model.settled()
    assert len(checked) == whole_round + 1, "a new version's manifest does not wait"
    model.rounds()
    assert len(checked) == 2 * whole_round + 2


def test_with_the_registry_down_nothing_is_taken_for_deleted(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    settings.cache_clear()
    model.restart()
    assert model.settled() == []
    assert model.audit_entries() == []


def test_staging_leaves_it_to_production(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch, make: Callable[[str], RegistryWatcher]
) -> None:
    staging = make("staging")
    model.alias("champion", "1")
    for _ in range(2):
        assert staging.once(model.name) == []
        model.now += SETTLE_SECONDS
    assert model.audit_entries() == []


@pytest.fixture
def make(model: RegisteredModel, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], RegistryWatcher]:
    def changes(environment: str) -> RegistryWatcher:
        monkeypatch.setenv("SLIPWAY_ENVIRONMENT", environment)
        settings.cache_clear()
        return RegistryWatcher(settings(), model.registry, lambda: model.now)

    return changes


def test_promotions_and_rollbacks_are_recorded_once_by_their_own_lines(model: RegisteredModel) -> None:
    for version in ("1", "2"):
        promote(model.name, version)
        model.settled()
    roll_back(model.name, "it is worse")
    model.settled()
    assert [(action, version) for action, version, _ in model.audit_entries()] == [
        ("promoted", "1"),
        ("promoted", "2"),
        ("rolled_back", "2"),
    ]
