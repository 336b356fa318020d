"""Traffic of a file's rows, in the file's order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from scenarios.traffic import generator
from slipway.errors import DataError
from tests.support import bundles
from tests.support.doubles.service_double import Service, serving

FRAME = pd.DataFrame(
    {
        "age": [40.5, 20.0, 30.0],
        "visits": [3, 5, 7],
        "job": ["nurse", None, "pilot"],
        "member": [True, False, True],
        "risk": ["bad", "good", "good"],
    }
)
ROWS = [
    {"age": 40.5, "visits": 3, "job": "nurse", "member": True},
    {"age": 20.0, "visits": 5, "job": None, "member": False},
    {"age": 30.0, "visits": 7, "job": "pilot", "member": True},
]


@pytest.fixture
def service() -> Iterator[Service]:
    with serving("loans", bundles.TABULAR) as running:
        yield running


@pytest.fixture(params=["rows.csv", "rows.parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    FRAME.to_csv(path, index=False) if path.suffix == ".csv" else FRAME.to_parquet(path)
    return path


def in_order(service: Service) -> list[dict]:
    """Requests overlap: they arrive nearly in the order in which they were sent."""
    return sorted(service.instances, key=ROWS.index)


def test_the_rows_of_a_file_are_sent_as_callers_send_them_with_their_labels(service: Service, file: Path) -> None:
    report = generator.send("loans", generator.TrafficPlan(rate=50, labels=1.0, file=file), service.url)
    assert in_order(service) == ROWS
    assert (report.sent, report.failures, report.holdout_rows) == (3, 0, 0)
    assert sorted(entry["label"] for entry in service.feedback) == ["bad", "good", "good"]


def test_the_first_rows_of_a_file_and_again_the_first(service: Service, file: Path) -> None:
    for _ in range(2):
        assert generator.send("loans", generator.TrafficPlan(rate=50, rows=2, file=file), service.url).sent == 2
    assert in_order(service) == [ROWS[0], ROWS[0], ROWS[1], ROWS[1]]


def test_cells_are_sent_as_training_reads_them_and_wrong_ones_as_they_are(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("age,visits,job,member,risk,other\n40.5, 3, nurse,YES,bad,1\nNA,2.5,?,maybe,,2\n")
    report = generator.send("loans", generator.TrafficPlan(rate=50, labels=1.0, file=path), service.url)
    assert report.sent == 2
    sent = sorted(service.instances, key=lambda row: str(row["visits"]), reverse=True)
    assert sent == [
        {"age": 40.5, "visits": 3, "job": "nurse", "member": True},
        {"age": None, "visits": "2.5", "job": None, "member": "maybe"},
    ]
    assert [entry["label"] for entry in service.feedback] == ["bad"], "a row without a label has none"


def test_codes_of_the_source_are_decoded_where_the_plan_says_so(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("age,job\n40.5,N\n")
    monkeypatch.setattr(generator, "decoder", lambda name: lambda frame: frame.replace({"job": {"N": "nurse"}}))
    generator.send("loans", generator.TrafficPlan(rate=50, file=path), service.url)
    generator.send("loans", generator.TrafficPlan(rate=50, file=path, decode=True), service.url)
    assert [row["job"] for row in service.instances] == ["N", "nurse"]


def test_numbers_that_are_no_booleans_or_integers_are_sent_as_they_are(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"age": [1.0], "visits": [2.0**60], "member": [2.0]}).to_parquet(path)
    generator.send("loans", generator.TrafficPlan(rate=50, file=path), service.url)
    assert service.instances == [{"age": 1.0, "visits": 2.0**60, "member": 2.0}]


def test_labels_of_a_regression_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("area,rooms,price\n40,1,cheap\n")
    with serving("prices", bundles.REGRESSION) as running, pytest.raises(DataError, match="holds 'cheap' in 'price'"):
        generator.send("prices", generator.TrafficPlan(labels=1.0, file=path), running.url)


def test_a_file_without_labels_can_be_sent_without_them_only(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    FRAME.drop(columns="risk").to_parquet(path)
    assert generator.send("loans", generator.TrafficPlan(rate=50, file=path), service.url).sent == 3
    with pytest.raises(DataError, match="no column 'risk' to take labels from"):
        generator.send("loans", generator.TrafficPlan(labels=0.5, file=path), service.url)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.json", "[]", "read from .csv and .parquet"),
        ("none.csv", None, "cannot be read"),
        ("empty.csv", "", "cannot be read"),
        ("rows.parquet", "no parquet", "cannot be read"),
        ("header.csv", "age,visits\n", "0 rows of the columns age, visits; loans takes age, job, member, visits"),
        ("other.csv", "speed\n3\n", "1 rows of the columns speed; loans takes"),
    ],
)
def test_what_is_no_file_of_rows_sends_nothing(
    service: Service, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        generator.send("loans", generator.TrafficPlan(file=path), service.url)
    assert not service.instances


def test_rows_of_a_file_are_not_made_to_drift(service: Service, file: Path) -> None:
    with pytest.raises(DataError, match="Leave --drift or --from out"):
        generator.send("loans", generator.TrafficPlan(drift="shift", file=file), service.url)


@pytest.mark.slow
def test_ctrl_c_ends_the_sending_with_the_report_of_what_was_sent(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    pd.concat([FRAME] * 2000).to_parquet(path)
    argv = ["traffic", "loans", "--url", service.url, "--from", str(path), "--rate", "20", "--json"]
    process = subprocess.Popen([sys.executable, "-m", "slipway.cli", *argv], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(service.instances) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    report = json.loads(out)
    assert process.returncode == 0
    assert 5 <= report["sent"] <= len(service.instances) < 6000
    assert report["failures"] == 0
