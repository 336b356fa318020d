"""`slipway train`: what it prints, what it refuses, and that its result alone is on standard output."""

from __future__ import annotations

import json

import pytest

from pipelines.commands import train
from pipelines.commands.train import _summary
from slipway.settings import settings

SMALL = {"epochs": 1, "members": 2, "width": 8, "bins": 4, "frequencies": 2}
QUICK = ("train", "orders", "--no-register")


@pytest.mark.slow
def test_the_quick_loop_prints_device_scores_verdict_and_where_it_is(cli, usecase, orders, var):
    usecase(orders, params=SMALL, gates={"absolute": {"roc_auc": 0.999}})
    ran = cli(*QUICK)
    assert ran.code == 0, ran.err
    for part in (
        "device   ",
        "roc_auc 0.",
        "precision ",
        "recall ",
        "meaning  ROC AUC 0.",
        "LogisticRegression has 0.",
        "gates    refused",
        "at least 0.999 is needed",
        f"everything is in {var}",
    ):
        assert part in ran.out
    steps = [line.split(":")[0] for line in ran.err.splitlines()]
    assert steps == [
        *("ingest", "clean", "validate", "champion", "production", "split"),
        "train",
        "train",
        *("evaluate", "export", "gate", "bundle"),
    ]

    again = cli(*QUICK, "--json")
    assert json.loads(again.out)["already"] is True
    assert json.loads(again.out)["version"] is None and json.loads(again.out)["declared"] is True
    assert again.err == ""


def test_too_little_memory_is_said_before_the_kernel_kills(monkeypatch, capsys):
    for available, expected in ((1e9, "1.0 GB of memory is available"), (8e9, ""), (None, "")):
        monkeypatch.setattr("slipway.system.memory.available_bytes", lambda available=available: available)
        train._warn_of_little_memory()
        assert (expected in capsys.readouterr().err) if expected else capsys.readouterr().err == ""


def test_a_named_server_that_does_not_answer_is_named_without_its_password(cli, usecase, orders, monkeypatch):
    usecase(orders)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@127.0.0.1:1")
    settings.cache_clear()
    ran = cli("train", "orders")
    assert ran.code == 1 and "names http://127.0.0.1:1, and nothing answers" in ran.err, ran.err
    assert "secret" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "epocs=2"), "Did you mean 'epochs'?"),
        (("--set", "source.path=nowhere.csv"), "there is no file 'nowhere.csv'"),
        (("--set", "split.fractions.train=0.9"), "sum to 1.3"),
        (("--set", "epochs"), "has no '='"),
    ],
)
def test_what_cannot_be_trained_is_one_clear_line(cli, usecase, orders, arguments, message):
    usecase(orders)
    ran = cli(*QUICK, *arguments)
    assert ran.code == 1 and ran.out == ""
    assert ran.err.startswith("error: ") and message in ran.err and "Traceback" not in ran.err


def test_a_mistyped_use_case_is_suggested(cli, usecase, orders):
    usecase(orders)
    assert "Did you mean 'orders'?" in cli("train", "order", "--no-register").err


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "sqlite:///mlflow.db"])
def test_a_registry_that_is_named_must_answer(cli, usecase, orders, monkeypatch, var, address):
    usecase(orders)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    settings.cache_clear()
    ran = cli("train", "orders")
    assert ran.code == 1
    assert f"MLFLOW_TRACKING_URI names {address}, and nothing answers there" in ran.err
    assert not (var / "runs").exists()


def test_the_summary_says_what_the_score_means_and_that_nothing_was_declared():
    result = {
        "device": "cpu",
        "scores": {
            "roc_auc": {"value": 0.5, "low": 0.4, "high": 0.6},
            "ece": {"value": None, "low": None, "high": None},
        },
        "meaning": ["ROC AUC 0.500 (0.400 to 0.600): guessing 0.5", "Nothing shows that the model is better"],
        "gate": "refused",
        "declared": False,
        "reasons": ["baseline:trivial: Not shown to be better."],
        "synthetic": False,
        "usecase": "orders",
        "version": None,
        "folder": "var/runs/1",
    }
    assert _summary(result) == (
        "device   cpu\n"
        "scores   roc_auc 0.500 (0.400 to 0.600)\n"
        "         ece not defined\n"
        "meaning  ROC AUC 0.500 (0.400 to 0.600): guessing 0.5\n"
        "         Nothing shows that the model is better\n"
        "gates    refused\n"
        "         baseline:trivial: Not shown to be better.\n"
        "version  none (--no-register); everything is in var/runs/1"
    )
    assert "gates    passed; gates.absolute declares no bound, so" in _summary({**result, "gate": "passed"})
    assert "no server accepts this version: mend what" in _summary({**result, "version": "2", "already": False})
