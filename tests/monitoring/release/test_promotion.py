from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from monitoring.release import promotion
from monitoring.release.promotion import promote, wait_until_served
from monitoring.release.server_status import ServerStatus
from slipway import audit
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import BUNDLE_SHA256
from slipway.errors import BundleError, GateRefused, NotFound, RegistryError, ServiceError, SettingsError
from slipway.settings import settings
from tests.support import bundles
from tests.support.server_views import digest, refused_by_follower, served
from tests.support.servers import publish, unique_name

Publish = Callable[..., str]


@pytest.fixture
def registry(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    return Registry()


@pytest.fixture
def name() -> str:
    return unique_name("loans")


@pytest.fixture
def registered(registry: Registry, name: str, tmp_path: Path) -> Publish:
    """Registers one more version, `passed` or not, and returns its number."""

    def make(tags: dict[str, str] | None = None, **options: object) -> str:
        folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        bundles.write(folder, **options)
        return publish(registry.uri, name, folder, tags)

    return make


def test_the_alias_moves_and_the_replaced_version_is_reported(
    registry: Registry, name: str, registered: Publish, cli: Callable
) -> None:
    first, second = registered(), registered(bias=0.1)
    ran = cli("promote", name, first)
    assert (ran.code, ran.err.strip()) == (0, f"champion of {name} is version 1, which had none.")
    ran = cli("promote", name, second, "--json")
    assert json.loads(ran.out) | {"usecase": name} == {
        "usecase": name,
        "version": "2",
        "alias": "champion",
        "replaced": "1",
        "override": None,
        "serving": None,
    }
    assert registry.model(name).aliases == {"champion": "2"}


def test_challenger_can_be_promoted_to_and_other_aliases_cannot(registry: Registry, name: str, registered) -> None:
    promote(name, registered(), "challenger")
    assert registry.model(name).aliases == {"challenger": "1"}
    for alias in ("shadow", "champ"):
        with pytest.raises(SettingsError, match="Allowed: champion, challenger, canary"):
            promote(name, "1", alias)


def test_a_canary_starts_at_the_given_weight_and_requires_a_champion(
    registry: Registry, name: str, registered: Publish, cli: Callable
) -> None:
    first, second = registered(), registered(bias=0.1)
    with pytest.raises(NotFound, match=f"no champion to compare a canary with.*`slipway promote {name} 2` sets one"):
        promote(name, second, "canary")
    promote(name, first)
    with pytest.raises(SettingsError, match="version 1 is already the champion"):
        promote(name, first, "canary")
    for weight in ("0", "100", "-5"):
        assert "a percentage above 0 and below 100" in cli("promote", name, second, "--canary", weight).err
    ran = cli("promote", name, second, "--canary", "10")
    assert (ran.code, ran.err.strip()) == (0, f"canary of {name} is version 2, which had none.")
    assert registry.model(name).aliases == {"champion": "1", "canary": "2"}
    assert registry.version(name, second).tags["slipway.canary_weight"] == "10"
    promote(name, second, "canary")
    assert "slipway.canary_weight" not in registry.version(name, second).tags


def test_who_promoted_what_and_why_is_written_down(name: str, registered: Publish) -> None:
    promote(name, registered())
    promote(name, registered(passed=False), override="ada: the slice is too small to tell")
    lines = audit.lines(name)
    assert [line.action for line in lines] == ["promoted", "overridden", "promoted"]
    assert {line.who for line in lines} == {audit.person()}
    assert lines[1].why == "ada: the slice is too small to tell"
    assert lines[1].evidence["gates"]
    assert lines[2].evidence == {"alias": "champion", "from": "1", "to": "2"}


def test_a_rollback_by_command_goes_back_and_refuses_the_bad_one(
    registry: Registry, name: str, registered: Publish, cli: Callable
) -> None:
    for options in ({}, {"bias": 0.1}):
        promote(name, registered(**options))
    ran = cli("rollback", name, "--why", "wrong currency", "--json")
    assert json.loads(ran.out) == {
        "usecase": name,
        "version": "2",
        "alias": "champion",
        "instead": "1",
        "serving": None,
    }
    assert ran.err.strip() == f"version 2 of {name} is refused and no champion any more: version 1 is."
    assert registry.model(name).aliases == {"champion": "1"}
    assert registry.version(name, "2").tags["slipway.refused"] == f"taken back by {audit.person()}: wrong currency"
    with pytest.raises(GateRefused, match="slipway.refused"):
        promote(name, "2")
    again = cli("rollback", name)
    assert again.code == 1
    assert f"no previous champion of {name} is known" in again.err


def test_a_version_whose_gates_failed_is_refused_and_nothing_moves(registry, name: str, registered: Publish) -> None:
    promote(name, registered())
    failed = registered(passed=False)
    with pytest.raises(GateRefused, match=r"ROC AUC is 0.6.*--override 'WHO: WHY'.*slipway.override"):
        promote(name, failed)
    assert registry.model(name).aliases == {"champion": "1"}


def test_an_override_is_kept_with_the_version(registry: Registry, name: str, registered: Publish) -> None:
    failed = registered(passed=False)
    promoted = promote(name, failed, override="ada: the slice is too small to tell")
    assert promoted.override == "ada: the slice is too small to tell"
    assert registry.version(name, failed).tags["slipway.override"] == promoted.override
    assert registry.model(name).aliases == {"champion": failed}


def test_an_override_that_stands_already_is_enough(name: str, registered: Publish) -> None:
    failed = registered({"slipway.override": "ada: known"}, passed=False)
    assert promote(name, failed).override == "ada: known"


def test_a_version_that_passed_needs_no_override_and_gets_none(registry, name: str, registered: Publish) -> None:
    version = registered()
    assert promote(name, version, override="ada: just in case").override is None
    assert "slipway.override" not in registry.version(name, version).tags


@pytest.mark.parametrize("override", ["", "ada", "ada:", ": why", " : "])
def test_an_override_says_who_and_why(override: str) -> None:
    with pytest.raises(SettingsError, match="WHO: WHY"):
        promote("loans", "1", override=override)


def test_a_version_that_a_person_refused_stays_refused(name: str, registered: Publish) -> None:
    version = registered({"slipway.refused": "wrong currency"})
    with pytest.raises(GateRefused, match="slipway.refused: wrong currency. .*delete the tag"):
        promote(name, version)


def test_a_bundle_that_is_not_what_was_registered_is_not_promoted(registry, name: str, registered: Publish) -> None:
    version = registered({"slipway.bundle_sha256": "0" * 64})
    with pytest.raises(BundleError, match="the registry says 0000"):
        promote(name, version)
    assert registry.model(name).aliases == {}


def test_unknown_names_and_versions_are_distinguished_from_known_ones(registry, name: str, registered: Publish) -> None:
    registered()
    with pytest.raises(NotFound, match=f"{name} has no version '9'. It has: 1"):
        promote(name, "9")
    with pytest.raises(NotFound, match=f"no model '{name}x'.*Did you mean '{name}'"):
        promote(f"{name}x", "1")


def test_an_unreachable_registry_is_an_error() -> None:
    with pytest.raises(RegistryError, match="does not respond.*MLFLOW_TRACKING_URI"):
        promote("loans", "1")


@pytest.fixture
def promoted(name: str, registered: Publish) -> promotion.Promotion:
    """Version 1, with the digest of the simulated servers' version 1."""
    done = promote(name, registered())
    return replace(done, version=replace(done.version, tags=done.version.tags | {BUNDLE_SHA256: digest("1")}))


def polled(*statuses: list[ServerStatus]) -> Callable[..., list[ServerStatus]]:
    """Servers that say one thing after the other, and the last one for ever."""
    left = list(statuses)
    return lambda addresses, usecase: left.pop(0) if len(left) > 1 else left[0]


def test_waiting_ends_when_every_worker_of_every_server_serves_the_version(promoted: promotion.Promotion) -> None:
    then = [served("a", ["1", "1"]), served("b", ["1", "1"])]
    poll = polled([served("a", ["1", None]), served("b", [])], [served("a", ["1", "1"]), served("b", ["1", "0"])], then)
    assert wait_until_served(promoted, 30, poll=poll).serving == 4


def test_a_bundle_that_had_the_number_before_is_not_waited_for(promoted: promotion.Promotion) -> None:
    """As of a model that is deleted, trained anew and promoted: all of it is version 1 again."""
    again = replace(promoted, version=replace(promoted.version, tags={BUNDLE_SHA256: digest("2")}))
    with pytest.raises(ServiceError, match="a serves it in 0 of 2 workers"):
        wait_until_served(again, 0.1, poll=polled([served("http://a", ["1", "1"])]))
    assert wait_until_served(again, 0.1, poll=polled([served("http://a", ["2", "2"])])).serving == 2


def test_waiting_in_vain_says_what_each_server_says(promoted: promotion.Promotion) -> None:
    poll = polled([served("http://a", ["1", "0"]), ServerStatus("http://b", error="http://b does not respond")])
    with pytest.raises(ServiceError, match=r"a serves it in 1 of 2 workers; http://b does not respond"):
        wait_until_served(promoted, 0.1, poll=poll)


def test_waiting_ends_early_where_the_version_is_refused(promoted: promotion.Promotion, monkeypatch) -> None:
    monkeypatch.setattr(promotion, "SETTLE_SECONDS", 0.1)
    poll = polled([refused_by_follower("http://a", ["0"], "1", "its probe rows come out wrong.")])
    with pytest.raises(ServiceError, match="http://a refused it: its probe rows come out wrong"):
        wait_until_served(promoted, 60, poll=poll)


def test_servers_that_follow_another_alias_are_not_waited_for(promoted: promotion.Promotion, monkeypatch) -> None:
    monkeypatch.setenv("SLIPWAY_ENVIRONMENT", "staging")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="follow challenger, not champion"):
        wait_until_served(promoted, 1, poll=polled([]))
