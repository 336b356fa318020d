"""`slipway forget` on the command line: what it prints, and what it refuses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from slipway.settings import Settings
from tests.support.prediction_log.sample_events import USECASE
from tests.support.prediction_log.subjects import KEY, left_of, write_events
from tests.support.prediction_log.without_registry import config, log, write

__all__ = ["config", "log", "write"]


@pytest.fixture(autouse=True)
def _filled(config: Settings, write: Callable[..., None]) -> None:
    write_events(write)


def test_a_dry_run_and_an_erasure_print_their_counts(cli: Callable[..., Any], config: Settings) -> None:
    planned = cli("forget", USECASE, "--key", KEY, "--dry-run")
    assert "would be removed" in planned.out
    assert "1  predictions" in planned.out
    done = cli("forget", USECASE, "--key", KEY, "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert (found["predictions"], found["labels"], found["versions"]) == (1, 2, [])
    assert left_of(config, KEY) == []
    assert "nothing was found" in cli("forget", USECASE, "--key", KEY).out


def test_a_key_may_come_from_standard_input(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
    assert json.loads(cli("forget", USECASE, "--key", "-", "--json").out)["predictions"] == 1


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "give one of --key, --row-key and --resume"),
        (["--key", "a", "--row-key", "b"], 2, "give one of --key, --row-key and --resume"),
        (["--key", ""], 2, "the key is empty"),
        (["--resume"], 1, "no erasure of made_up is unfinished"),
    ],
)
def test_options_that_name_no_subject_are_refused(
    cli: Callable[..., Any], options: list[str], code: int, message: str
) -> None:
    ran = cli("forget", USECASE, *options)
    assert ran.code == code
    assert message in " ".join(ran.err.split())


def test_a_mistyped_use_case_is_refused_and_not_found_empty(cli: Callable[..., Any], config: Settings) -> None:
    (config.spool / "_service").mkdir(parents=True)
    ran = cli("forget", "made_ap", "--key", KEY)
    assert ran.code == 1
    assert "_service" not in ran.err, "log lines are of no use case"
    assert "has no log of a use case 'made_ap'. Did you mean 'made_up'?" in ran.err
