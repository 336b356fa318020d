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
from slipway import audit, audit_replica
from slipway.clients.mlflow.registry import Registry
from slipway.settings import settings
from tests.conftest import NOWHERE
from tests.support import bundles
from tests.support.servers import publish, unique_name


class Home:
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
        self.registry._send("DELETE", "model-versions/delete", name=self.name, version=version)

    def change_store(self, file: str, content: bytes) -> None:
        self.registry.put_artifact(self.registry.version(self.name, "1").source, file, content)

    def settled(self) -> list[str]:
        """Two looks, with the time between them after which a change is sure."""
        self.changes.once(self.name)
        self.now += SETTLE_SECONDS
        return self.changes.once(self.name)

    def rounds(self) -> list[str]:
        """The findings after every file of the store was checked again."""
        self.now += ROUND_SECONDS
        for _ in range(8):
            found = self.settled()
        return found

    def told(self) -> list[tuple[str, str | None, str]]:
        return [(line.action, line.version, line.who) for line in audit.lines(self.name)]


@pytest.fixture
def home(mlflow_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    found = Home(Registry(mlflow_server), tmp_path / "bundle")
    found.changes.once(found.name)
    return found


def test_an_alias_that_was_moved_in_the_ui_is_written_down_once(home: Home) -> None:
    home.alias("champion", "1")
    home.settled()
    home.alias("champion", "2")
    home.settled()
    home.settled()
    assert home.told() == [("alias.moved", "1", audit.UNKNOWN), ("alias.moved", "2", audit.UNKNOWN)]
    last = audit.lines(home.name)[-1]
    assert {key: last.evidence[key] for key in ("alias", "from", "to")} == {"alias": "champion", "from": "1", "to": "2"}


def test_an_alias_that_was_removed_is_written_down_with_the_version_that_it_left(home: Home) -> None:
    home.alias("shadow", "1")
    home.settled()
    home.registry.delete_alias(home.name, "shadow")
    home.settled()
    assert home.told()[-1][:2] == ("alias.moved", "1")
    assert audit.lines(home.name)[-1].evidence["to"] is None


def test_nothing_is_written_before_a_command_had_the_time_to_write_it_itself(home: Home) -> None:
    home.alias("champion", "1")
    home.changes.once(home.name)
    evidence = {"alias": "champion", "from": None, "to": "1"}
    audit.append(home.name, "promoted", who="ann@laptop", version="1", evidence=evidence)
    home.settled()
    assert home.told() == [("promoted", "1", "ann@laptop")]


def test_a_line_stands_for_one_move_only(home: Home) -> None:
    """The command's line of a moment ago does not hide that a person did the same again."""
    home.alias("champion", "1")
    evidence = {"alias": "champion", "from": None, "to": "1"}
    audit.append(home.name, "promoted", who="ann@laptop", version="1", evidence=evidence)
    home.settled()
    for version in ("2", "1"):
        home.alias("champion", version)
        home.settled()
    assert [action for action, *_ in home.told()] == ["promoted", "alias.moved", "alias.moved"]


def test_a_watch_that_was_restarted_writes_nothing_twice_and_misses_nothing(home: Home) -> None:
    home.alias("champion", "1")
    home.settled()
    home.restart()
    home.settled()
    assert len(home.told()) == 1
    home.alias("champion", "2")
    home.restart()
    home.settled()
    assert [version for _, version, _ in home.told()] == ["1", "2"]


def test_a_watch_that_was_killed_between_line_and_memory_writes_nothing_twice(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.alias("champion", "1")
    monkeypatch.setattr(registry_snapshot, "write", lambda *_: None)
    home.settled()
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", home.registry.uri)
    home.restart()
    home.settled()
    assert len(home.told()) == 1


def test_the_challenger_that_training_names_is_no_riddle(home: Home) -> None:
    home.alias("challenger", home.register())
    home.settled()
    assert home.told() == [("alias.moved", "3", "slipway train")]


def test_an_override_tells_who_and_why_and_a_lifted_refusal_what_it_was(home: Home) -> None:
    home.tag("1", "slipway.override", "Ann: the slice is too small")
    home.tag("2", "slipway.refused", "it answers NaN")
    home.settled()
    home.registry.delete_version_tag(home.name, "2", "slipway.refused")
    home.settled()
    overridden, lifted = audit.lines(home.name)
    assert (overridden.action, overridden.who, overridden.why) == ("overridden", "Ann", "the slice is too small")
    assert (lifted.action, lifted.version, lifted.evidence["refused"]) == ("refusal.lifted", "2", "it answers NaN")


def test_pausing_retraining_and_going_on_is_written_down(home: Home) -> None:
    home.registry.set_model_tag(home.name, "slipway.retraining", "paused: Ann: the labels are wrong")
    home.settled()
    home.registry._send("DELETE", "registered-models/delete-tag", name=home.name, key="slipway.retraining")
    home.settled()
    paused, resumed = audit.lines(home.name)
    assert (paused.action, paused.who, paused.why) == ("retraining.paused", "Ann", "the labels are wrong")
    assert resumed.action == "retraining.resumed"


def test_a_deleted_version_is_written_down_and_said_for_a_day(home: Home) -> None:
    home.delete("1")
    assert home.settled() == ["version 1 was deleted from the registry."]
    assert home.told() == [("version.deleted", "1", audit.UNKNOWN)]
    home.restart()
    assert home.settled() == ["version 1 was deleted from the registry."]
    assert len(home.told()) == 1


def test_a_whole_model_that_was_deleted_is_noticed_version_by_version(home: Home) -> None:
    home.registry._send("DELETE", "registered-models/delete", name=home.name)
    home.settled()
    assert [(action, version) for action, version, _ in home.told()] == [
        ("version.deleted", "1"),
        ("version.deleted", "2"),
    ]


def test_a_digest_that_was_replaced_is_said_until_it_is_what_it_was(home: Home) -> None:
    right = home.registry.version(home.name, "1").digest
    home.tag("1", "slipway.bundle_sha256", "e" * 64)
    home.settled()
    home.restart()
    assert any("version 1 was altered: its tag" in said for said in home.settled())
    assert [(action, version) for action, version, _ in home.told()] == [("version.altered", "1")]
    home.tag("1", "slipway.bundle_sha256", str(right))
    for _ in range(3):
        home.settled()
    assert not [said for said in home.settled() if "its tag" in said]


@pytest.mark.parametrize("file", ["manifest.json", "serve/model.onnx"])
def test_a_changed_file_in_the_store_is_found_within_a_round_and_its_mending_too(home: Home, file: str) -> None:
    source = home.registry.version(home.name, "1").source
    before = home.registry.small_artifact(source, file)
    home.alias("champion", "1")
    home.change_store(file, b"something else")
    said = home.rounds()
    assert said == [f"version 1 was altered in the store: {file} is not what was registered."]
    assert [line.version for line in audit.lines(home.name) if line.action == "version.altered"] == ["1"]
    home.change_store(file, before)
    assert home.rounds() == []


def test_a_file_in_the_store_is_checked_once_in_ten_minutes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.settled()
    checked: list[str] = []
    read = Registry.sha256
    monkeypatch.setattr(Registry, "sha256", lambda self, *file: checked.append(file[1]) or read(self, *file))
    home.rounds()
    whole_round = len(checked)
    assert whole_round == 2, "the manifest of each version, none of which has an alias"
    for _ in range(4):
        home.settled()
    assert len(checked) == whole_round
    home.register()
    home.settled()
    assert len(checked) == whole_round + 1, "a new version's manifest does not wait"
    home.rounds()
    assert len(checked) == 2 * whole_round + 2


def test_with_the_registry_down_nothing_is_taken_for_deleted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    settings.cache_clear()
    home.restart()
    assert home.settled() == []
    assert home.told() == []


def test_what_could_not_be_copied_is_made_up_for_by_a_look(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    settings.cache_clear()
    audit.append(home.name, "promoted", who="ann@laptop", version="1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", home.registry.uri)
    settings.cache_clear()
    assert audit_replica.compare(settings(), home.name).pending == 1
    home.restart()
    home.changes.once(home.name)
    assert audit_replica.compare(settings(), home.name).pending == 0


def test_staging_leaves_it_to_production(
    home: Home, monkeypatch: pytest.MonkeyPatch, make: Callable[[str], RegistryWatcher]
) -> None:
    staging = make("staging")
    home.alias("champion", "1")
    for _ in range(2):
        assert staging.once(home.name) == []
        home.now += SETTLE_SECONDS
    assert home.told() == []


@pytest.fixture
def make(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], RegistryWatcher]:
    def changes(environment: str) -> RegistryWatcher:
        monkeypatch.setenv("SLIPWAY_ENVIRONMENT", environment)
        settings.cache_clear()
        return RegistryWatcher(settings(), home.registry, lambda: home.now)

    return changes


def test_what_promote_and_rollback_did_is_told_by_their_lines_alone(home: Home) -> None:
    for version in ("1", "2"):
        promote(home.name, version)
        home.settled()
    roll_back(home.name, "it is worse")
    home.settled()
    assert [(action, version) for action, version, _ in home.told()] == [
        ("promoted", "1"),
        ("promoted", "2"),
        ("rolled_back", "2"),
    ]
