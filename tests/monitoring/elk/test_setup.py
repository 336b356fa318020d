"""`slipway elk setup` on a server with everything: what it writes, that it writes nothing twice, and what stops it."""

from __future__ import annotations

import errno
import json

import pytest

from monitoring.elk import access_keys
from monitoring.elk.definitions import PRIORITY, ROLES
from monitoring.elk.setup import apply, plan
from monitoring.log_shipping import refused_documents
from slipway.errors import ServiceError, SettingsError
from slipway.settings import settings
from tests.support.doubles.elasticsearch_admin_double import ElasticsearchAdminDouble

STREAM = "logs-slipway.prediction-staging"


def set_up(client, **options):
    done = []
    planned = plan(client, settings(), **options)
    apply(client, settings(), planned, done.append)
    return done


def test_everything_is_written_for_this_environment_alone(client, double):
    done = set_up(client)
    names = [path.rpartition("/")[2] for path in double.stored]
    assert len(done) == len(names) == 4 + 2 + 12 + 4
    assert all("staging" in name for name in names)


def test_a_second_run_changes_nothing(client, double, tmp_path):
    set_up(client, keys=tmp_path / "keys")
    double.writes.clear()
    again = plan(client, settings(), keys=tmp_path / "keys")
    assert again.is_done
    assert set_up(client, keys=tmp_path / "keys") == []
    assert double.writes == []


def test_a_run_that_failed_half_way_is_finished_by_the_next(client, double):
    double.fails_at = "/_index_template/logs-slipway.feedback"
    with pytest.raises(ServiceError, match="500: the node is shutting down"):
        set_up(client)
    before = len(double.stored)
    assert 0 < before < 22
    set_up(client)
    assert len(double.stored) == 22


def test_a_change_by_hand_is_shown_and_undone(client, double):
    set_up(client)
    policy = double.stored["/_ilm/policy/slipway-staging-audit"]["policy"]
    policy["phases"]["hot"]["actions"]["rollover"]["max_age"] = "1h"
    (change,) = plan(client, settings()).pending
    diff = [line for line in change.diff() if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert [line[1:].strip() for line in diff] == ["max_age: 1h", "max_age: 30d"]
    assert set_up(client) == ["update lifecycle policy slipway-staging-audit"]


def test_retention_days_become_the_deletion_phase(client, double, declare):
    declare(loans=90, cars=30)
    set_up(client)
    phases = double.stored["/_ilm/policy/slipway-staging-prediction"]["policy"]["phases"]
    assert phases["delete"]["min_age"] == "90d"
    assert phases["hot"]["actions"]["rollover"]["max_age"] == "3d"
    assert "delete" not in double.stored["/_ilm/policy/slipway-staging-audit"]["policy"]["phases"]


def test_other_retention_days_change_the_policies_of_events_alone(client, declare):
    declare(loans=90)
    set_up(client)
    declare(loans=60)
    assert [change.resource.name for change in plan(client, settings()).pending] == [
        "slipway-staging-prediction",
        "slipway-staging-feedback",
    ]


def test_a_stream_that_other_templates_made_rolls_over_once(client, double):
    double.streams[STREAM] = None
    assert f"roll over {STREAM}" in set_up(client)
    assert plan(client, settings()).is_done


@pytest.mark.parametrize("patterns", [["logs-*-*"], ["logs-slipway.*"], [STREAM]])
@pytest.mark.parametrize("priority", [PRIORITY, PRIORITY + 1])
def test_a_template_of_somebody_else_that_wins_stops_the_setup(client, double, patterns, priority):
    double.stored["/_index_template/theirs"] = {"index_patterns": patterns, "priority": priority}
    with pytest.raises(ServiceError, match=r"theirs .*wins over.*lower priority.*Nothing was changed"):
        set_up(client)
    assert double.writes == []


def test_a_template_of_somebody_else_that_loses_is_no_obstacle(client, double):
    double.stored["/_index_template/logs"] = {"index_patterns": ["logs-*-*"], "priority": 100}
    assert len(set_up(client)) == 22


def test_a_resource_of_our_name_that_is_not_ours_is_not_overwritten(client, double):
    double.stored["/_ingest/pipeline/slipway-staging-events"] = {"processors": [], "_meta": {"managed_by": "ann"}}
    with pytest.raises(ServiceError, match=r"ingest pipeline slipway-staging-events is not Slipway's: rename"):
        set_up(client)
    assert double.writes == []


def test_keys_have_the_rights_of_their_roles_and_only_their_owner_reads_them(client, double, tmp_path):
    folder = tmp_path / "keys"
    set_up(client, keys=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["eraser", "kibana", "reader", "shipper"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    rights = {key["name"]: json.dumps(key["role_descriptors"]) for key in double.keys}
    assert "delete" not in rights["slipway-staging-shipper"]
    assert "create_doc" not in rights["slipway-staging-reader"]
    assert all("staging" in rights[name] and '"*"' not in rights[name] for name in rights)


def test_a_key_whose_file_is_elsewhere_is_not_made_again(client, double, tmp_path):
    set_up(client, keys=tmp_path / "keys")
    planned = plan(client, settings(), keys=tmp_path / "others")
    assert planned.pending_keys == []
    assert "invalidate" in str(planned.keys[0])


def test_a_folder_that_cannot_be_written_stops_the_setup_before_there_is_a_key(client, double, tmp_path):
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(SettingsError, match=r"--keys .*keys cannot be written there.*Nothing was changed"):
        set_up(client, keys=tmp_path / "keys")
    assert double.writes == []


def test_a_key_whose_secret_is_lost_is_not_left_valid(client, double, tmp_path, monkeypatch):
    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(access_keys, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            set_up(client, keys=tmp_path / "keys")
    assert double.keys == []
    set_up(client, keys=tmp_path / "keys")
    assert len(double.keys) == len(ROLES)


def test_a_key_of_an_earlier_release_gets_the_rights_of_its_role(client, double, tmp_path):
    set_up(client, keys=tmp_path / "keys")
    secret = (tmp_path / "keys" / "shipper").read_text()
    shipper = next(key for key in double.keys if key["name"] == "slipway-staging-shipper")
    wanted = shipper["role_descriptors"]
    shipper.update(role_descriptors={}, metadata={"managed_by": "slipway"})
    assert set_up(client, keys=tmp_path / "keys") == [
        f"update API key slipway-staging-shipper, in {tmp_path / 'keys' / 'shipper'}"
    ]
    assert shipper["role_descriptors"] == wanted
    assert (tmp_path / "keys" / "shipper").read_text() == secret
    assert plan(client, settings(), keys=tmp_path / "keys").is_done


def test_a_server_without_security_makes_no_key_and_says_so(cli, monkeypatch, tmp_path):
    with ElasticsearchAdminDouble(features=()) as plain:
        monkeypatch.setenv("ELASTICSEARCH_URL", plain.uri)
        settings.cache_clear()
        ran = cli("elk", "setup", "--keys", str(tmp_path / "keys"))
    assert ran.code == 0
    assert "no API keys: a server without security has none" in ran.err
    assert not (tmp_path / "keys").exists()


def test_no_role_reaches_beyond_its_streams(client, double):
    set_up(client)
    roles = {path: body for path, body in double.stored.items() if path.startswith("/_security/role/")}
    for body in roles.values():
        assert set(body["cluster"]) <= {"monitor"}
        assert all(name.startswith("logs-slipway.") for entry in body["indices"] for name in entry["names"])


def test_the_diff_of_a_dry_run_changes_nothing(cli, double):
    ran = cli("elk", "setup", "--dry-run")
    assert ran.code == 0, ran.err
    assert "create index template logs-slipway.prediction-staging" in ran.out
    assert "+priority: 500" in ran.out
    assert "22 resources would be changed" in ran.err
    assert double.writes == []


def test_the_command_says_what_it_did_and_what_a_basic_licence_lacks(cli, double, declare):
    declare(loans=90, cars=30)
    first, again = cli("elk", "setup"), cli("elk", "setup")
    assert "Events are kept: slipway.prediction 90 days, slipway.feedback 90 days, " in first.err
    assert "slipway.audit for ever." in first.err
    assert "create role slipway-staging-shipper" in first.err
    assert "22 resources changed, 0 unchanged" in first.err
    assert "It lacks document- and field-level security (licence: basic)" in first.err
    assert "0 resources changed, 22 unchanged" in again.err


def test_json_has_every_resource(cli, double):
    found = json.loads(cli("elk", "setup", "--dry-run", "--json").out)
    assert len(found["changes"]) == 22
    assert found["server"]["licence"] == "basic"


@pytest.mark.parametrize(
    ("version", "flavor", "expected"),
    [
        ("7.17.0", "default", "Elasticsearch 7.17.0 is too old: 8.15 or later is needed"),
        ("8.11.0", "serverless", "this is Elasticsearch Serverless, which lacks index lifecycle policies"),
    ],
)
def test_a_server_that_lacks_too_much_is_refused_before_anything_changes(cli, monkeypatch, version, flavor, expected):
    with ElasticsearchAdminDouble(version=version, flavor=flavor) as server:
        monkeypatch.setenv("ELASTICSEARCH_URL", server.uri)
        settings.cache_clear()
        ran = cli("elk", "setup")
    assert ran.code == 1
    assert expected in ran.err and "Nothing was changed" in ran.err
    assert server.writes == []


def test_the_status_without_the_object_store_says_what_it_does_not_know(cli, double, monkeypatch):
    def unreachable(*_):
        raise ServiceError("the bucket does not respond")

    monkeypatch.setattr(refused_documents, "usecases", unreachable)
    ran = cli("elk", "status")
    assert ran.code == 0
    assert "refused documents cannot be counted: the bucket does not respond" in ran.err
    assert ran.out.startswith(f"{STREAM}: not there yet\n")


@pytest.mark.parametrize("action", ["setup", "status"])
def test_without_an_address_the_command_says_what_to_set(cli, action):
    ran = cli("elk", action)
    assert ran.code == 1
    assert "no Elasticsearch is configured: set ELASTICSEARCH_URL" in ran.err
