from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scenarios.traffic import generator, holdout_source, pacing
from scenarios.traffic.holdout_source import Holdout
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.schema import Schema
from slipway.errors import DataError, NotFound, ServiceError
from slipway.inference import decode_image
from tests.support import bundles
from tests.support.doubles.service_double import Service, serving
from tests.support.servers import publish, unique_name

ROWS = 40


def loans(rows: int = ROWS) -> pd.DataFrame:
    """A holdout: every row has an age of its own, a quarter of the rows is bad."""
    return pd.DataFrame(
        {
            "age": np.arange(rows) + 18.0,
            "visits": pd.array([None if k % 5 == 0 else k for k in range(rows)], dtype="Int64"),
            "job": [("clerk", "nurse", "pilot")[k % 3] for k in range(rows)],
            "member": [None if k % 7 == 0 else k % 2 == 0 for k in range(rows)],
            "risk": ["bad" if k % 4 == 0 else "good" for k in range(rows)],
            "row_key": [f"{k:032x}" for k in range(rows)],
            "split_bucket": range(rows),
        }
    )


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service of loans whose champion was evaluated on `loans()`."""
    found = Holdout("loans", bundles.TABULAR, loans(), "a" * 64)
    monkeypatch.setattr(holdout_source, "of_champion", lambda usecase: found)
    with serving("loans", bundles.TABULAR) as running:
        yield running


def send(service: Service, **options: object) -> generator.Report:
    return generator.send("loans", generator.TrafficPlan(**{"rate": 1000.0, **options}), service.url)


def ages(service: Service) -> list[float]:
    return [instance["age"] for instance in service.instances]


def test_every_row_of_the_holdout_is_sent_once_and_as_callers_send_it(service: Service) -> None:
    report = send(service)
    assert (report.sent, report.failures, report.holdout_left) == (ROWS, 0, 0)
    assert sorted(ages(service)) == list(loans()["age"])
    first = min(service.instances, key=lambda instance: instance["age"])
    assert first == {"age": 18.0, "visits": None, "job": "clerk", "member": None}
    assert {type(row["visits"]) for row in service.instances} == {int, type(None)}


def test_a_run_goes_on_where_the_last_one_ended(service: Service) -> None:
    assert send(service, rows=15).holdout_left == 25
    assert send(service, rows=15).holdout_left == 10
    assert len(set(ages(service))) == 30


def test_a_used_up_holdout_is_reported_and_restart_begins_again(service: Service) -> None:
    send(service, rows=5)
    assert send(service, rows=100).sent == ROWS - 5
    with pytest.raises(DataError, match="all 40 rows .*--restart"):
        send(service, rows=1)
    send(service, rows=5, restart=True)
    assert set(ages(service)[ROWS:]) == set(ages(service)[:5])


def test_the_same_seed_draws_the_same_rows(service: Service) -> None:
    send(service, rows=10, seed=3)
    send(service, rows=10, seed=3, restart=True)
    send(service, rows=10, seed=4, restart=True)
    first, second, third = (set(ages(service)[start : start + 10]) for start in (0, 10, 20))
    assert first == second != third


def test_every_response_but_200_and_a_broken_connection_are_failures_and_nothing_is_sent_twice(
    service: Service,
) -> None:
    service.fails = {3: 503, 4: 404, 10: -1}
    report = send(service)
    assert (report.sent, report.failures) == (ROWS, 3)
    assert len(service.instances) == ROWS
    assert sum(report.reasons.values()) == 3
    assert any(reason.startswith("503 as the test asked") for reason in report.reasons)
    assert report.versions == {"1": ROWS - 3}


def test_the_versions_that_answered_are_counted(service: Service) -> None:
    service.swaps = {20: "2"}
    report = send(service)
    assert report.versions == {"1": 20, "2": 20}


def test_connections_are_kept_open(service: Service) -> None:
    send(service)
    assert service.connections <= pacing.CONNECTIONS + 2


def test_rows_are_sent_at_the_requested_rate(service: Service) -> None:
    report = send(service, rows=21, rate=40.0)
    assert report.seconds >= 0.5
    assert 0 < report.latency_ms["p50"] <= report.latency_ms["p99"]


def test_labels_of_a_share_of_the_rows_follow_after_a_delay(service: Service) -> None:
    began = time.monotonic()
    report = send(service, labels=0.5, label_delay=0.6)
    assert time.monotonic() - began >= 0.6
    assert report.labels["sent"] == len(service.feedback)
    assert 10 <= len(service.feedback) <= 30
    assert {tuple(sorted(entry)) for entry in service.feedback} == {("id", "label")}
    assert {entry["label"] for entry in service.feedback} == {"good", "bad"}


def test_labels_that_are_refused_are_counted(service: Service) -> None:
    service.refuses_feedback_after = 0
    assert send(service, rows=8, labels=1.0).labels == {"sent": 0, "failed": 8}


def test_a_failed_prediction_gets_no_label(service: Service) -> None:
    service.fails = {0: 500}
    send(service, rows=10, labels=1.0)
    assert len(service.feedback) == 9


def test_drift_changes_its_feature_and_no_other(service: Service) -> None:
    report = send(service, drift="shift", feature="age", strength=2.0)
    assert report.feature == "age"
    sent, drawn = pd.DataFrame(service.instances), loans()
    assert sent["age"].mean() == pytest.approx(drawn["age"].mean() + 2 * drawn["age"].std())
    assert sorted(sent["job"]) == sorted(drawn["job"])


def test_prior_drift_draws_more_of_the_positive_class_and_still_no_row_twice(service: Service) -> None:
    report = send(service, drift="prior", labels=1.0)
    bad = sum(entry["label"] == "bad" for entry in service.feedback)
    assert bad == 10
    assert report.sent < ROWS
    assert len(set(ages(service))) == report.sent
    assert report.holdout_left == 0


def test_a_kind_that_does_not_fit_sends_nothing_and_draws_nothing(service: Service) -> None:
    with pytest.raises(DataError, match="Kinds that fit"):
        send(service, drift="brightness")
    assert service.instances == []
    assert send(service, rows=1).holdout_left == ROWS - 1


def test_a_service_that_is_not_there_is_one_error_and_uses_up_no_rows(service: Service) -> None:
    with pytest.raises(ServiceError, match="does not respond"):
        generator.send("loans", generator.TrafficPlan(), "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="does not serve cars"):
        generator.send("cars", generator.TrafficPlan(), service.url)
    assert send(service, rows=1).holdout_left == ROWS - 1


def test_private_values_are_sent_as_they_were_masked() -> None:
    frame = loans(3).assign(income="< 1000", email="tok_" + "0" * 32)
    rows = generator.instances(bundles.PRIVATE, frame)
    assert rows[0]["income"] == "< 1000"
    assert rows[0]["email"].startswith("tok_")
    assert "nation" not in rows[0]


def test_an_image_is_sent_as_a_file_that_can_be_read() -> None:
    schema: Schema = bundles.IMAGES
    frame = pd.DataFrame({"image": [bundles.png(schema, 1)], "shape": ["star"]})
    sent = json.loads(json.dumps(generator.instances(schema, frame)))[0]["image"]["b64"]
    assert decode_image(base64.b64decode(sent), schema.images[0]).shape == (8, 8, 1)


def test_the_command_reports_and_fails_when_a_request_failed(service: Service, cli: Callable) -> None:
    ran = cli("traffic", "loans", "--url", service.url, "--rows", "5", "--rate", "500", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["versions"] == {"1": 5}
    assert "traffic to loans: 5 in" in ran.err
    service.fails = {7: 500}
    ran = cli("traffic", "loans", "--url", service.url, "--rows", "5", "--rate", "500")
    assert ran.code == 1
    assert "5 rows of loans" in ran.out
    assert "1 × 500 as the test asked" in ran.out
    assert "30 of 40 rows are left" in ran.out


@pytest.fixture
def champion(mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Registers a champion whose run holds `loans()` under the given name: its use case."""

    def make(digest: str) -> str:
        bundles.write(tmp_path / "bundle", bundles.TABULAR)
        loans().to_parquet(tmp_path / "holdout.parquet")
        name = unique_name("loans")
        held = {f"holdout/{digest or _sha256(tmp_path / 'holdout.parquet')}.parquet": tmp_path / "holdout.parquet"}
        version = publish(mlflow_server, name, tmp_path / "bundle", artifacts=held)
        Registry(mlflow_server).set_alias(name, "champion", version)
        return name

    return make


def _sha256(path: Path) -> str:
    from slipway.system.files import file_sha256

    return file_sha256(path)


def test_the_holdout_comes_from_the_champions_run_once(mlflow_server: str, champion: Callable[[str], str]) -> None:
    name = champion("")
    found = holdout_source.of_champion(name, Registry(mlflow_server))
    assert len(found.frame) == ROWS
    assert found.schema == bundles.TABULAR
    again = holdout_source.of_champion(name, Registry(mlflow_server))
    assert again.sha256 == found.sha256


def test_a_holdout_that_is_not_what_its_name_says_is_refused(
    mlflow_server: str, champion: Callable[[str], str]
) -> None:
    with pytest.raises(DataError, match="does not match its name in the run"):
        holdout_source.of_champion(champion("b" * 64), Registry(mlflow_server))


def test_without_a_champion_the_message_names_the_command(mlflow_server: str, tmp_path: Path) -> None:
    bundles.write(tmp_path / "bundle")
    name = unique_name("loans")
    publish(mlflow_server, name, tmp_path / "bundle")
    with pytest.raises(NotFound, match=f"slipway promote {name} VERSION"):
        holdout_source.of_champion(name, Registry(mlflow_server))
