"""Plots of a training: names are drawn as they are, whatever they mean to matplotlib."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from pipelines.packaging import plots
from slipway.contracts.schema import Schema
from slipway.evaluation.metrics import Scored
from tests.support import bundles

pytestmark = pytest.mark.slow  # the import of matplotlib
HISTORY = {"loss": [0.7, 0.5], "error": [0.5, 0.4], "val_loss": [0.8, 0.6], "val_error": [0.5, 0.45]}


def scored(classes: int) -> Scored:
    truth = np.arange(60) % max(classes, 1)
    outputs = np.random.default_rng(2).dirichlet(np.ones(max(classes, 1)), 60)
    return Scored(truth, outputs, outputs.argmax(axis=1), 1 if classes == 2 else None)


def schema(classes: tuple[str, ...]) -> Schema:
    return msgspec.structs.replace(bundles.TABULAR, classes=classes, positive=classes[1] if len(classes) == 2 else None)


@pytest.mark.parametrize("classes", [("$0_$10", "more"), ("more", "$0_$10"), ("$a$", "$b$", r"\$c$"), ("_a", "^", "{")])
def test_a_class_is_text_and_no_formula(tmp_path, monkeypatch, classes):
    def parsed(*_, **__) -> None:
        raise AssertionError("a name was read as a formula")

    monkeypatch.setattr("matplotlib.mathtext.MathTextParser.parse", parsed)
    plots.draw_plots(schema(classes), scored(len(classes)), HISTORY, tmp_path / "plots")
    assert len(list((tmp_path / "plots").glob("*.png"))) == 4


def test_a_target_and_a_unit_are_text_and_no_formula(tmp_path):
    rows = msgspec.structs.replace(bundles.REGRESSION, target="$price_$", unit="$_/m²")
    plots.draw_plots(rows, scored(0), HISTORY, tmp_path / "plots")
    assert (tmp_path / "plots" / "predicted_against_true.png").exists()


def test_every_class_is_in_the_legend():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    plots.roc(axes, scored(3), schema(("_low", "middle", "_nolegend_")))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["_low", "middle", "_nolegend_"]
