"""The page of a candidate's comparison, requested without a socket."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitoring.release.reconciler import Reconciled
from slipway.settings import settings
from tests.monitoring.rollout.compared_versions import ids, log, shifted, write_champion
from tests.monitoring.status.test_app import client
from tests.support.prediction_log import watched_loans as loans
from tests.support.prediction_log.broken_log import break_log
from tests.support.server_views import served


@pytest.fixture(autouse=True)
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SLIPWAY_SERVERS", "http://127.0.0.1:9")
    return write_champion(tmp_path, monkeypatch)


def test_the_page_shows_agreement_times_slices_and_quality(digest: str) -> None:
    frame = loans.rows(200, seed=2)
    rows = ids(frame)
    log(frame, rows, digest, "champion", "1", ms=1.25)
    log(shifted(frame, frame["job"] == "pilot", 0.5), rows, "b" * 64, "shadow", "2", ms=3.5)
    loans.log_labels(rows[:100], list(frame["label_true"][:100]))
    page = client().get("/shadow/loans")
    assert page.status_code == 200
    for part in (
        "version 2 as shadow versus champion 1",
        "1.25 ms",
        "3.5 ms",
        "job pilot",
        "age ≥ 45",
        "ROC AUC",
        "<svg",
    ):
        assert part in page.text, part
    assert "NaN" not in page.text
    assert "nan" not in page.text
    found = client().get("/api/shadow/loans").json()
    assert (found["pairs"], found["role"], len(found["slices"])) == (200, "shadow", 5)


def test_a_canary_without_pairs_has_a_page_too(digest: str) -> None:
    frame = loans.rows(60, seed=3)
    log(frame, ids(frame), digest, "champion", "1")
    log(frame, ids(frame), "b" * 64, "canary", "2", error="ModelError")
    page = client().get("/shadow/loans")
    assert page.status_code == 200
    for part in ("as canary", "60 ModelError", "a canary has rows of its own"):
        assert part in page.text, part


def test_a_page_without_anything_to_compare_says_what_to_do() -> None:
    page = client().get("/shadow/loans")
    assert (page.status_code, "set the alias" in page.text) == (200, True)
    assert client().get("/api/shadow/loans").json() is None


@pytest.mark.parametrize("name", ["nobody", "No_Name", "a%20b", "<b>"])
def test_a_name_that_nobody_serves_is_no_error_and_nothing_of_it_is_markup(name: str) -> None:
    page = client().get(f"/shadow/{name}")
    assert page.status_code == 200
    assert "<b>" not in page.text


def test_an_unavailable_bundle_is_reported() -> None:
    frame = loans.rows(10, seed=4).assign(score=np.linspace(0, 1, 10))
    rows = ids(frame)
    log(frame, rows, "a" * 64, "champion", "7")
    log(frame, rows, "b" * 64, "shadow", "8")
    page = client().get("/shadow/loans")
    assert page.status_code == 503
    assert "does not respond" in page.text


@pytest.mark.parametrize("alias", ["shadow", "canary"])
def test_the_status_page_leads_there(alias: str) -> None:
    one = Reconciled("loans", {"champion": "1", alias: "2"}, [served("http://a", ["1"])])
    assert f'<a href="/shadow/loans">{alias} and champion</a>' in client(one).get("/").text


def test_the_page_says_which_files_of_the_log_could_not_be_read(digest: str) -> None:
    frame = loans.rows(200, seed=2)
    rows = ids(frame)
    log(frame, rows, digest, "champion", "1")
    log(frame, rows, "b" * 64, "shadow", "2")
    break_log(settings(), "loans")
    page = client().get("/shadow/loans")
    assert page.status_code == 200
    assert "version 2 as shadow versus champion 1" in page.text
    assert "what is broken in 3 files: predictions/local/loans/" in page.text
    assert client().get("/api/shadow/loans").json()["pairs"] == 200
