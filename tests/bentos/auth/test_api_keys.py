"""API keys: what the command writes, what it never writes, and what the file may contain."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from slipway import api_keys
from slipway.errors import SettingsError
from slipway.settings import settings


def test_a_key_is_shown_once_and_stored_as_a_digest_in_a_file_for_its_owner_only(cli, var):
    made = cli("keys", "create", "ci", "--scopes", "predict,read", "--rate", "10/second", "--expires", "30d")
    secret = made.out.strip()
    path = settings().key_file
    assert made.code == 0 and secret.startswith("slk_") and len(secret) > 40
    assert secret not in path.read_text() and api_keys.digest(secret) in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in cli("keys", "list").out


def test_the_list_shows_scopes_rate_and_expiry(cli, var):
    cli("keys", "create", "ci", "--scopes", "predict", "--rate", "10/second")
    (entry,) = json.loads(cli("keys", "list", "--json").out)
    assert (entry["name"], entry["scopes"], entry["rate"], entry["expires"]) == ("ci", ["predict"], "10/second", None)
    assert "key" not in entry and "sha256" not in entry


def test_a_revoked_key_is_gone_and_another_name_is_suggested(cli, var):
    cli("keys", "create", "nightly")
    wrong = cli("keys", "revoke", "nightli")
    assert wrong.code == 1 and "Did you mean 'nightly'?" in wrong.err
    assert cli("keys", "revoke", "nightly").code == 0
    assert api_keys.read(settings().key_file) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scopes", "predit"], "Did you mean 'predict'?"),
        (["--scopes", ","], "has no scope"),
        (["--scopes", "read,predict,read"], "scopes: read is given more than once"),
        (["--usecases", "loans,loans"], "usecases: loans is given more than once"),
        (["--rate", "fast"], "100/second"),
        (["--rate", "0/second"], "100/second"),
        (["--expires", "soon"], "30d"),
        (["--expires", "2020-01-01"], "in the past"),
    ],
)
def test_invalid_options_are_refused_with_a_hint(cli, var, options, message):
    ran = cli("keys", "create", "ci", *options)
    assert ran.code == 1 and message in ran.err
    assert not settings().key_file.exists() or api_keys.read(settings().key_file) == []


def test_a_name_is_required_and_unique(cli, var):
    assert cli("keys", "create").code == 2
    assert cli("keys", "create", "ci").code == 0
    assert "already" in cli("keys", "create", "ci").err
    assert "no name of a key" in cli("keys", "create", "../x").err


def test_two_commands_at_once_lose_no_key(var):
    path = var / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: api_keys.create(path, f"key{n}", ["predict"]), range(24)))
    assert len(api_keys.read(path)) == 24


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"version": 2, "keys": []}',
        '{"keys": [{"name": "a"}]}',
        '{"keys": [], "kees": []}',
        '{"keys": [{"name": "a", "sha256": "00", "scopes": ["predict"], "created": "2026-01-01T00:00:00Z"}]}',
    ],
)
def test_a_broken_file_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"keys\.json"):
        api_keys.read(path)


def test_a_time_may_be_a_span_or_a_date():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert api_keys.expiry("12h", now) - now == timedelta(hours=12)
    assert api_keys.expiry("2026-02-01T10:00:00+02:00", now).astimezone(UTC).hour == 8
