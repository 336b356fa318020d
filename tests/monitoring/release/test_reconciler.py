from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from bentos.follower import follower
from monitoring.release import reconciler as reconcile
from monitoring.release.reconciler import SETTLE_SECONDS, Reconciler
from monitoring.release.server_status import ServerStatus
from slipway import audit
from slipway.clients.mlflow.registry import Registry
from slipway.serving_state.observed import RoleState
from slipway.settings import Settings, settings
from tests.bentos.models.broken_bundles import BREAKS
from tests.bentos.server.processes import Server
from tests.support import bundles
from tests.support.server_views import digest, refused_by_follower, refused_by_workers, served
from tests.support.servers import publish, unique_name

DOWN = ServerStatus("http://b", error="http://b does not answer")


class World:
    """A registered model with two versions, the servers as the test says they are, and a clock that it turns."""

    def __init__(self, registry: Registry, folder: Path, config: Settings) -> None:
        self.registry, self.config = registry, config
        self.name = unique_name("loans")
        for number in ("1", "2"):
            publish(registry.uri, self.name, folder, {"slipway.bundle_sha256": digest(number)})
        self.looks: list[ServerStatus] = []
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        self.reconciler = Reconciler(self.config, self.registry, lambda *_: self.looks, lambda: self.now)

    def alias(self, name: str, version: str) -> None:
        self.registry.set_alias(self.name, name, version)

    def once(self, *looks: ServerStatus) -> reconcile.Reconciled:
        self.looks = list(looks)
        return self.reconciler.once(self.name)

    def settled(self, *looks: ServerStatus) -> reconcile.Reconciled:
        """The same seen again after the time that a follower may take."""
        self.once(*looks)
        self.now += SETTLE_SECONDS
        return self.once(*looks)

    def tag(self, version: str) -> str:
        tags = self.registry.version(self.name, version).tags
        return tags.get(f"slipway.serving.{self.config.environment}", "")

    @property
    def aliases(self) -> dict[str, str]:
        return self.registry.model(self.name).aliases


@pytest.fixture
def world(mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    def make(environment: str = "local") -> World:
        monkeypatch.setenv("SLIPWAY_ENVIRONMENT", environment)
        settings.cache_clear()
        (tmp_path / "manifest.json").write_text("{}")
        return World(Registry(mlflow_server), tmp_path, settings())

    return make


def test_the_tag_says_how_many_workers_serve_the_champion(world: Callable[..., World]) -> None:
    home = world()
    home.alias("champion", "1")
    assert home.once(served("a", [None, None])).tag == ""
    home.once(served("a", ["1", None]))
    assert home.tag("1").startswith("loading: 1 of 2 workers since 20")
    home.once(served("a", ["1", "1"]))
    assert home.tag("1").startswith("serving: 2 of 2 workers since 20")


def test_the_tag_is_written_only_when_something_changes(world: Callable[..., World], monkeypatch) -> None:
    home = world()
    home.alias("champion", "1")
    home.once(served("a", ["1"]))
    before = home.tag("1")
    monkeypatch.setattr(home.registry, "set_version_tag", None)
    assert home.once(served("a", ["1"])).tag == before
    home.restart()
    assert home.once(served("a", ["1"])).tag == before


def test_a_server_that_is_down_is_said_and_another_word_is_not_taken_for_its(world: Callable[..., World]) -> None:
    home = world()
    home.alias("champion", "1")
    seen = home.once(served("a", ["1"]), DOWN)
    assert seen.tag.startswith("loading: 1 of 1 workers, 1 of 2 servers do not answer since")
    before = home.tag("1")
    assert home.once(DOWN).tag == before


def test_a_version_that_was_replaced_no_longer_says_that_it_serves(world: Callable[..., World]) -> None:
    home = world()
    home.alias("champion", "1")
    home.once(served("a", ["1"]))
    home.alias("champion", "2")
    home.once(served("a", ["2"]))
    assert home.tag("1").startswith("replaced: by version 2 since")
    home.alias("champion", "1")
    home.once(served("a", ["1"]))
    assert home.tag("1").startswith("serving: 1 of 1 workers")
    assert home.tag("2").startswith("replaced: by version 1")


@pytest.mark.parametrize("refused", [refused_by_follower, refused_by_workers])
@pytest.mark.parametrize("environment", ["local", "production"])
def test_a_refused_champion_goes_back_to_what_serves_with_the_reason(
    world: Callable[..., World], refused: Callable[..., ServerStatus], environment: str
) -> None:
    home = world(environment)
    home.alias("champion", "2")
    home.settled(refused("a", ["1", "1"], "2", "its probe rows come out wrong."))
    assert home.aliases == {"champion": "1"}
    assert home.tag("2") == "refused: its probe rows come out wrong. (champion went back to version 1)"
    [line] = audit.lines(home.name)
    assert (line.action, line.who, line.version) == ("alias.moved_back", "slipway reconciler", "2")
    assert line.evidence == {"alias": "champion", "from": "2", "to": "1"}


def test_a_refusal_is_said_at_once_and_acted_on_only_when_it_stands(world: Callable[..., World]) -> None:
    home = world()
    home.alias("champion", "2")
    home.once(refused_by_follower("a", ["1"], "2", "its gates failed."))
    assert home.tag("2") == "refused: its gates failed."
    home.now += SETTLE_SECONDS / 2
    home.once(served("a", ["2"]))  # the override was seen
    home.now += SETTLE_SECONDS
    home.once(refused_by_follower("a", ["1"], "2", "its gates failed."))
    assert home.aliases == {"champion": "2"}


def test_one_worker_that_refuses_takes_the_alias_back_for_all(world: Callable[..., World]) -> None:
    home = world()
    home.alias("champion", "2")
    slow = refused_by_workers("a", ["2", "1"], "2", "it takes 9 times as long.")
    home.settled(slow)
    assert home.aliases == {"champion": "1"}


def test_a_new_server_that_serves_nothing_takes_no_alias_from_those_that_serve(world: Callable[..., World]) -> None:
    home = world("production")
    home.alias("champion", "2")
    home.settled(served("a", ["2", "2"]), refused_by_workers("b", [None], "2", "out of date."))
    assert home.aliases == {"champion": "2"}
    assert home.tag("2") == "refused: out of date."


def test_a_failure_that_may_pass_is_said_and_moves_nothing(world: Callable[..., World]) -> None:
    home = world()
    home.alias("champion", "2")
    home.settled(served("a", ["1"], champion=RoleState(digest("2"), "2", "failed", "MemoryError: ")))
    assert home.aliases == {"champion": "2"}
    assert home.tag("2").startswith("failed: MemoryError:")


def test_staging_says_what_it_did_with_its_challenger_and_moves_nothing(world: Callable[..., World]) -> None:
    home = world("staging")
    home.alias("champion", "1")
    home.alias("challenger", "2")
    home.settled(refused_by_follower("a", ["1"], "2", "too slow.", alias="challenger"))
    assert home.aliases == {"champion": "1", "challenger": "2"}
    assert home.tag("2") == "refused: too slow."


@pytest.mark.parametrize("role", ["canary", "shadow"])
def test_a_refused_canary_or_shadow_is_removed_with_the_reason(world: Callable[..., World], role: str) -> None:
    home = world()
    home.alias("champion", "1")
    home.alias(role, "2")
    home.settled(served("a", ["1"], **{role: RoleState(digest("2"), None, "refused", "not served yet.")}))
    assert home.aliases == {"champion": "1"}
    assert home.tag("2") == f"refused: not served yet. ({role} was removed)"


def test_an_alias_that_a_person_moves_meanwhile_stays_where_they_put_it(world: Callable[..., World]) -> None:
    home = world()
    home.alias("champion", "2")
    refusing = refused_by_follower("a", ["1"], "2", "its gates failed.")
    home.once(refusing)
    home.now += SETTLE_SECONDS
    model = home.registry.model

    def moved_after_the_first_look(name: str):
        found = model(name)
        home.alias("champion", "1")
        home.registry.model = model
        return found

    home.registry.model = moved_after_the_first_look
    home.once(refusing)
    assert home.tag("2") == "refused: its gates failed."


def test_a_model_that_is_not_registered_says_how_to_train_it(world: Callable[..., World]) -> None:
    assert "slipway train nobody" in world().reconciler.once("nobody").error


def test_a_registry_that_is_down_is_in_the_result(world: Callable[..., World]) -> None:
    home = world()
    home.registry.uri = "http://127.0.0.1:9"
    seen = home.once(served("a", ["1"]))
    assert "does not answer" in seen.error
    assert seen.serving == ["1"]


@pytest.fixture
def running(mlflow_server: str, tmp_path: Path, var: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple]:
    """A registered champion, a real server that serves it, and its follower: the registry, the name, the server."""
    name = unique_name("loans")
    schema = msgspec.structs.replace(bundles.TABULAR, usecase=name)
    monkeypatch.setitem(bundles.ROWS, name, bundles.ROWS["loans"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("SLIPWAY_FOLLOW_SECONDS", "0.2")
    settings.cache_clear()
    registry = Registry()
    bundles.write(tmp_path / "good", schema)
    registry.set_alias(name, "champion", publish(mlflow_server, name, tmp_path / "good"))
    stop = threading.Event()
    following = threading.Thread(target=follower.run, args=([name], settings(), stop), daemon=True)
    following.start()
    try:
        with Server(var, (name,)) as server:
            monkeypatch.setenv("SLIPWAY_SERVICE_PORT", str(server.port))
            settings.cache_clear()
            yield registry, schema, server
    finally:
        stop.set()
        following.join(30)


def test_five_kinds_of_broken_bundle_leave_the_old_one_serving_and_the_reason_on_the_version(
    running: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, schema, server = running
    name = schema.usecase
    monkeypatch.setattr(reconcile, "SETTLE_SECONDS", 0.5)
    reconciler = Reconciler(settings(), registry)
    for number, spoil in enumerate(BREAKS, start=2):
        folder = tmp_path / spoil.__name__
        bundles.write(folder, schema, bias=1.0)
        said = spoil(folder)
        another = "0" * 64
        version = publish(registry.uri, name, folder, {"slipway.bundle_sha256": another} if another in said else None)
        assert version == str(number)
        registry.set_alias(name, "champion", version)
        deadline = time.monotonic() + 30
        while registry.model(name).aliases["champion"] != "1" and time.monotonic() < deadline:
            reconciler.once(name)
            time.sleep(0.2)
        tag = registry.version(name, version).tags["slipway.serving.local"]
        assert tag.startswith("refused: ")
        assert said in tag
        assert tag.endswith("(champion went back to version 1)")
        assert server.predict(name, age=30.0, visits=1, job="nurse", member=True)[1]["model"]["version"] == "1"
