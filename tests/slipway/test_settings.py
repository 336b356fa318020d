from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway.errors import SettingsError
from slipway.settings import Settings, settings


def test_an_unknown_variable_is_an_error_that_suggests_the_closest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_SERVICE_PROT", "3000")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="SLIPWAY_SERVICE_PROT is not a setting.*SLIPWAY_SERVICE_PORT"):
        settings()


def test_a_wrong_value_is_reported_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_SERVICE_PORT", "many")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="SLIPWAY_SERVICE_PORT='many': .*integer"):
        settings()


def test_a_short_secret_is_refused_and_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_MASK_KEY", "hunter2")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="at least 16") as caught:
        settings()
    assert "hunter2" not in str(caught.value)


def test_the_laptop_makes_its_own_secret_once_for_its_owner_only(var: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: Settings(var=var).mask_secret(), range(32)))
    assert len(made) == 1
    assert len(made.pop()) == 64
    assert stat.S_IMODE((var / "mask.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("environment", "alias", "followed"),
    [("local", "", "champion"), ("staging", "", "challenger"), ("production", "", "champion"), ("local", "x", "x")],
)
def test_staging_follows_the_challenger_and_everyone_else_the_champion(
    environment: str, alias: str, followed: str
) -> None:
    assert Settings(environment=environment, alias=alias).follow_alias == followed


def test_several_servers_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_SERVERS", "http://a:3000/, http://b:3000")
    assert Settings().server_urls == ("http://a:3000", "http://b:3000")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLIPWAY_PROMETHEUS_URL", "prometheus:9090"),
        ("SLIPWAY_ALERTMANAGER_URL", "ftp://ann:hunter2@alertmanager"),
        ("SLIPWAY_PROMETHEUS_NAMESPACE", 'a", b="c'),
    ],
)
def test_what_is_no_web_address_and_no_label_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    settings.cache_clear()
    with pytest.raises(SettingsError, match=name) as refused:
        settings()
    assert "hunter2" not in str(refused.value)
