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

DOWN = ServerStatus("http://b", error="http://b does not respond")


class World:
    """A registered model with two versions, the servers that the test sets, and a clock that it sets."""

    def __init__(self, registry: Registry, folder: Path, config: Settings) -> None:
        self.registry, self.config = registry, config
        self.name = unique_name("loans")
        for number in ("1", "2"):
            publish(registry.uri, self.name, folder, {"slipway.bundle_sha256": digest(number)})
        self.statuses: list[ServerStatus] = []
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        self.reconciler = Reconciler(self.config, self.registry, lambda *_: self.statuses, lambda: self.now)

    def alias(self, name: str, version: str) -> None:
        self.registry.set_alias(self.name, name, version)

    def once(self, *statuses: ServerStatus) -> reconcile.Reconciled:
        self.statuses = list(statuses)
        return self.reconciler.once(self.name)

    def settled(self, *statuses: ServerStatus) -> reconcile.Reconciled:
        """Reconcile twice, with the time between that a follower may take."""
        self.once(*statuses)
        self.now += SETTLE_SECONDS
        return self.once(*statuses)

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
    model = world()
    model.alias("champion", "1")
    assert model.once(served("a", [None, None])).tag == ""
    model.once(served("a", ["1", None]))
    assert model.tag("1").startswith("loading: 1 of 2 workers since 20")
    model.once(served("a", ["1", "1"]))
    assert model.tag("1").startswith("serving: 2 of 2 workers since 20")


def test_the_tag_is_written_only_when_something_changes(world: Callable[..., World], monkeypatch) -> None:
    model = world()
    model.alias("champion", "1")
    model.once(served("a", ["1"]))
    before = model.tag("1")
    monkeypatch.setattr(model.registry, "set_version_tag", None)
    assert model.once(served("a", ["1"])).tag == before
    model.restart()
    assert model.once(served("a", ["1"])).tag == before


def test_an_unreachable_server_is_reported_and_keeps_the_last_tag(world: Callable[..., World]) -> None:
    model = world()
    model.alias("champion", "1")
    result = model.once(served("a", ["1"]), DOWN)
    assert result.tag.startswith("loading: 1 of 1 workers, 1 of 2 servers do not respond since")
    before = model.tag("1")
    assert model.once(DOWN).tag == before


def test_a_bundle_that_is_registered_twice_is_named_as_the_version_that_has_the_alias(
    world: Callable[..., World], tmp_path: Path
) -> None:
    """The server fetched it as version 1; version 3 is the same bundle."""
    model = world()
    publish(model.registry.uri, model.name, tmp_path, {"slipway.bundle_sha256": digest("1")})
    model.alias("champion", "1")
    model.once(served("a", ["1"]))
    model.alias("champion", "3")
    assert model.once(served("a", ["1"])).serving == ["3"]
    assert model.tag("3").startswith("serving: 1 of 1 workers")
    assert model.tag("1").startswith("replaced: by version 3")


def test_a_version_whose_number_came_again_is_named_with_its_bundle(world: Callable[..., World]) -> None:
    model = world()
    model.registry.set_version_tag(model.name, "1", "slipway.bundle_sha256", digest("7"))
    model.alias("champion", "1")
    assert model.once(served("a", ["1", "2"])).serving == [f"1 (another bundle: {'0' * 12})", "2"]


def test_an_alias_does_not_go_back_to_a_version_that_somebody_refused(
    world: Callable[..., World], tmp_path: Path
) -> None:
    """The bundle that is still served is registered twice, and a person refused the newer version."""
    model = world()
    again = {"slipway.bundle_sha256": digest("1"), "slipway.refused": "ann: registered by mistake"}
    publish(model.registry.uri, model.name, tmp_path, again)
    model.alias("champion", "2")
    model.settled(refused_by_follower("a", ["1"], "2", "it is broken"))
    assert model.aliases == {"champion": "1"}


def test_a_version_that_was_replaced_no_longer_says_that_it_serves(world: Callable[..., World]) -> None:
    model = world()
    model.alias("champion", "1")
    model.once(served("a", ["1"]))
    model.alias("champion", "2")
    model.once(served("a", ["2"]))
    assert model.tag("1").startswith("replaced: by version 2 since")
    model.alias("champion", "1")
    model.once(served("a", ["1"]))
    assert model.tag("1").startswith("serving: 1 of 1 workers")
    assert model.tag("2").startswith("replaced: by version 1")


@pytest.mark.parametrize("refused", [refused_by_follower, refused_by_workers])
@pytest.mark.parametrize("environment", ["local", "production"])
def test_a_refused_champion_goes_back_to_what_serves_with_the_reason(
    world: Callable[..., World], refused: Callable[..., ServerStatus], environment: str
) -> None:
    model = world(environment)
    model.alias("champion", "2")
    model.settled(refused("a", ["1", "1"], "2", "its probe rows come out wrong."))
    assert model.aliases == {"champion": "1"}
    assert model.tag("2") == "refused: its probe rows come out wrong. (champion went back to version 1)"
    [line] = audit.lines(model.name)
    assert (line.action, line.who, line.version) == ("alias.moved_back", "slipway reconciler", "2")
    assert line.evidence == {"alias": "champion", "from": "2", "to": "1"}


def test_an_alias_never_goes_back_to_a_version_that_has_the_number_of_what_serves(
    world: Callable[..., World], tmp_path: Path
) -> None:
    """The bundle that serves is of a version that was deleted, and its number came again."""
    model = world()
    model.alias("champion", "2")
    old = refused_by_workers("a", ["5", "5"], "2", "its probe rows come out wrong.")
    workers = tuple(msgspec.structs.replace(worker, version="1") for worker in old.workers)
    serving = ServerStatus("a", msgspec.structs.replace(old.served, workers=workers))
    model.settled(serving)
    assert (model.aliases["champion"], model.tag("2")) == ("2", "refused: its probe rows come out wrong.")
    publish(model.registry.uri, model.name, tmp_path, {"slipway.bundle_sha256": digest("5")})
    model.once(serving)
    assert model.aliases["champion"] == "3", "the version that has these bytes, whatever its number"


def test_a_refusal_of_a_bundle_is_not_of_the_next_one_with_its_number(world: Callable[..., World]) -> None:
    model = world()
    model.alias("champion", "2")
    before = refused_by_follower("a", ["1"], "2", "it was altered.")
    stale = {"2": msgspec.structs.replace(before.served.refused["2"], digest=digest("9"))}
    model.settled(ServerStatus("a", msgspec.structs.replace(before.served, refused=stale)))
    assert (model.aliases["champion"], model.tag("2")) == ("2", "")


def test_a_refusal_is_reported_at_once_and_acted_on_only_if_it_persists(world: Callable[..., World]) -> None:
    model = world()
    model.alias("champion", "2")
    model.once(refused_by_follower("a", ["1"], "2", "its gates failed."))
    assert model.tag("2") == "refused: its gates failed."
    model.now += SETTLE_SECONDS / 2
    model.once(served("a", ["2"]))  # the override was read
    model.now += SETTLE_SECONDS
    model.once(refused_by_follower("a", ["1"], "2", "its gates failed."))
    assert model.aliases == {"champion": "2"}


def test_one_worker_that_refuses_takes_the_alias_back_for_all(world: Callable[..., World]) -> None:
    model = world()
    model.alias("champion", "2")
    slow = refused_by_workers("a", ["2", "1"], "2", "it takes 9 times as long.")
    model.settled(slow)
    assert model.aliases == {"champion": "1"}


def test_a_new_server_that_serves_nothing_takes_no_alias_from_those_that_serve(world: Callable[..., World]) -> None:
    model = world("production")
    model.alias("champion", "2")
    model.settled(served("a", ["2", "2"]), refused_by_workers("b", [None], "2", "out of date."))
    assert model.aliases == {"champion": "2"}
    assert model.tag("2") == "refused: out of date. (champion stays: a did not refuse it)"


@pytest.mark.parametrize("refused", [refused_by_follower, refused_by_workers])
def test_one_server_of_many_that_refuses_takes_no_alias_from_those_that_serve(
    world: Callable[..., World], refused: Callable[..., ServerStatus]
) -> None:
    model = world("production")
    model.alias("champion", "2")
    model.settled(served("a", ["2"]), refused("b", ["1"], "2", "version.json is garbage."), served("c", ["2"]))
    assert model.aliases == {"champion": "2"}
    assert model.tag("2") == "refused: version.json is garbage. (champion stays: a, c did not refuse it)"
    model.settled(*(refused(name, ["1"], "2", "its probe rows come out wrong.") for name in "abc"))
    assert model.aliases == {"champion": "1"}


@pytest.mark.parametrize("role", ["canary", "shadow"])
def test_one_server_of_many_that_refuses_a_candidate_does_not_remove_it(world: Callable[..., World], role: str) -> None:
    model = world()
    model.alias("champion", "1")
    model.alias(role, "2")
    running, refusing = RoleState(digest("2"), "2"), RoleState(digest("2"), "2", "refused", "out of memory.")
    model.settled(served("a", ["1"], **{role: running}), served("b", ["1"], **{role: refusing}))
    assert model.aliases == {"champion": "1", role: "2"}


def test_a_server_that_still_loads_is_awaited_before_an_alias_moves_back(world: Callable[..., World]) -> None:
    model = world()
    model.alias("champion", "2")
    refusing = refused_by_workers("a", ["1"], "2", "it takes 9 times as long.")
    model.settled(refusing, served("b", ["1"], champion=RoleState(digest("2"), "2", "loading")))
    assert model.aliases == {"champion": "2"}
    model.once(refusing, served("b", ["1"]), DOWN)
    assert model.aliases == {"champion": "1"}


def test_a_transient_failure_is_reported_and_moves_no_alias(world: Callable[..., World]) -> None:
    model = world()
    model.alias("champion", "2")
    model.settled(served("a", ["1"], champion=RoleState(digest("2"), "2", "failed", "MemoryError: ")))
    assert model.aliases == {"champion": "2"}
    assert model.tag("2").startswith("failed: MemoryError:")


def test_staging_says_what_it_did_with_its_challenger_and_moves_nothing(world: Callable[..., World]) -> None:
    model = world("staging")
    model.alias("champion", "1")
    model.alias("challenger", "2")
    model.settled(refused_by_follower("a", ["1"], "2", "too slow.", alias="challenger"))
    assert model.aliases == {"champion": "1", "challenger": "2"}
    assert model.tag("2") == "refused: too slow."


@pytest.mark.parametrize("role", ["canary", "shadow"])
def test_a_refused_canary_or_shadow_is_removed_with_the_reason(world: Callable[..., World], role: str) -> None:
    model = world()
    model.alias("champion", "1")
    model.alias(role, "2")
    model.settled(served("a", ["1"], **{role: RoleState(digest("2"), None, "refused", "not served yet.")}))
    assert model.aliases == {"champion": "1"}
    assert model.tag("2") == f"refused: not served yet. ({role} was removed)"


def test_an_alias_that_a_person_moves_meanwhile_stays_where_they_put_it(world: Callable[..., World]) -> None:
    model = world()
    model.alias("champion", "2")
    refusing = refused_by_follower("a", ["1"], "2", "its gates failed.")
    model.once(refusing)
    model.now += SETTLE_SECONDS
    get_model = model.registry.model

    def moved_after_the_first_pass(name: str):
        found = get_model(name)
        model.alias("champion", "1")
        model.registry.model = get_model
        return found

    model.registry.model = moved_after_the_first_pass
    model.once(refusing)
    assert model.tag("2") == "refused: its gates failed."


def test_a_model_that_is_not_registered_says_how_to_train_it(world: Callable[..., World]) -> None:
    assert "slipway train nobody" in world().reconciler.once("nobody").error


def test_a_registry_that_is_down_is_in_the_result(world: Callable[..., World]) -> None:
    model = world()
    model.registry.uri = "http://127.0.0.1:9"
    result = model.once(served("a", ["1"]))
    assert "does not respond" in result.error
    assert result.serving == ["1"]


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
        reason = spoil(folder)
        another = "0" * 64
        version = publish(registry.uri, name, folder, {"slipway.bundle_sha256": another} if another in reason else None)
        assert version == str(number)
        registry.set_alias(name, "champion", version)
        deadline = time.monotonic() + 30
        while registry.model(name).aliases["champion"] != "1" and time.monotonic() < deadline:
            reconciler.once(name)
            time.sleep(0.2)
        tag = registry.version(name, version).tags["slipway.serving.local"]
        assert tag.startswith("refused: ")
        assert reason in tag
        assert tag.endswith("(champion went back to version 1)")
        assert server.predict(name, age=30.0, visits=1, job="nurse", member=True)[1]["model"]["version"] == "1"
