"""The gates that a new model passes before it may be promoted, each one `slipway.bundle.Gate`.

A gate is a function of what is being judged to its verdicts; a new kind of gate joins by its name in `GATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from pipelines import predictions
from pipelines.bootstrap import Interval, difference
from pipelines.encoded import read_side, target
from pipelines.files import read_json, write_json
from pipelines.metrics import METRICS, Metric, scored
from slipway.bundle import Gate
from slipway.predictor import Predictor, rows_from_frame
from slipway.schema import Schema, compatible
from slipway.usecase import UseCase

_PREDICTED_AT_ONCE = 1000


@dataclass(frozen=True)
class Judged:
    """A new model with its scores on the holdout, beside the champion's bundle where there is one."""

    usecase: UseCase
    schema: Schema
    metrics: dict[str, Any]
    split: Path
    evaluated: Path
    champion: Path | None

    @property
    def metric(self) -> Metric:
        """The metric that comparisons and slices go by."""
        return METRICS[self.usecase.task][self.metrics["metric"]]

    @cached_property
    def incumbent(self) -> Predictor | None:
        return Predictor(self.champion, "cpu") if self.champion else None


def gate(
    usecase: UseCase, split: Path, trained: Path, evaluated: Path, out: Path, champion: Path | None = None
) -> None:
    """Leave `metrics.json` in `out`: the evaluation's with `gates` and `passed`. A gate that fails fails no run."""
    metrics = read_json(evaluated / "metrics.json")
    judged = Judged(usecase, Schema.load(trained / "schema.json"), metrics, split, evaluated, champion)
    verdicts = [verdict for one in GATES for verdict in one(judged)]
    passed = not any(verdict.failed for verdict in verdicts)
    write_json(out / "metrics.json", {**metrics, "gates": msgspec.to_builtins(verdicts), "passed": passed})


def absolute(judged: Judged) -> list[Gate]:
    """The bounds of `gates.absolute`: at least where more is better, else at most."""
    return [_absolute(judged, name, bound) for name, bound in judged.usecase.gates.absolute.items()]


def comparison(judged: Judged) -> list[Gate]:
    """Not worse than the champion on the frozen holdout, beyond the margin and what chance explains.

    Fails where even the upper end of the paired difference's interval is below the margin.
    """
    name = "champion"
    if judged.incumbent is None:
        return [Gate(name, None, None, "passed", "There is no champion yet to compare with.")]
    if _classes(judged.incumbent.schema) != _classes(judged.schema):
        return []  # nothing to compare, and `succession` fails
    found, margin = _difference(judged, judged.incumbent), judged.usecase.gates.margin
    if found.high is None:
        return [Gate(name, None, -margin, "failed", f"The holdout's rows define no {judged.metric.title}.")]
    better = f"On the holdout its {judged.metric.title} differs from the champion's by {_signed(found)}"
    if found.high < -margin:
        return [Gate(name, found.high, -margin, "failed", f"{better}: worse by more than the margin of {margin:g}.")]
    return [Gate(name, found.high, -margin, "passed", f"{better}: not worse by more than the margin of {margin:g}.")]


def succession(judged: Judged) -> list[Gate]:
    """Every request that the champion answers stays valid: a server would refuse to swap otherwise."""
    if judged.incumbent is None:
        return []
    reasons = compatible(judged.incumbent.schema, judged.schema)
    if reasons:
        told = f"Requests to the champion would become invalid: {'; '.join(reasons)}."
        return [Gate("compatible", float(len(reasons)), 0.0, "failed", told)]
    return [Gate("compatible", 0.0, 0.0, "passed", "Every request that the champion answers stays valid.")]


def slices(judged: Judged) -> list[Gate]:
    """No slice with enough rows is answered worse than all rows, beyond the margin and what chance explains."""
    least = judged.usecase.gates.min_slice_rows
    return [_slice(judged, part) for part in judged.metrics["slices"] if part["rows"] >= least]


GATES: Sequence[Callable[[Judged], list[Gate]]] = (absolute, comparison, succession, slices)


def _absolute(judged: Judged, name: str, bound: float) -> Gate:
    metric, figure = METRICS[judged.usecase.task][name], judged.metrics["scores"][name]["value"]
    needed = f"{'at least' if metric.sign > 0 else 'at most'} {bound:g} is needed"
    label, title = f"absolute:{name}", metric.title[0].upper() + metric.title[1:]
    if figure is None:
        return Gate(label, None, bound, "failed", f"{title} is not defined on the holdout; {needed}.")
    passed = metric.sign * (figure - bound) >= 0
    return Gate(label, figure, bound, "passed" if passed else "failed", f"{title} is {figure:.4g}; {needed}.")


def _slice(judged: Judged, part: dict[str, Any]) -> Gate:
    label, margin = f"slice:{part['feature']}={part['value']}", judged.usecase.gates.slice_margin
    found = Interval(**part["difference"])
    where = f"Where {part['feature']} is {part['value']} ({part['rows']} rows)"
    if found.high is None:
        return Gate(label, None, -margin, "passed", f"{where} the rows define no {judged.metric.title}.")
    told = f"{where} its {judged.metric.title} differs from that over all rows by {_signed(found)}"
    failed = found.high < -margin
    end = f"{'worse' if failed else 'not worse'} by more than the margin of {margin:g}."
    return Gate(label, found.high, -margin, "failed" if failed else "passed", f"{told}: {end}")


def _difference(judged: Judged, incumbent: Predictor) -> Interval:
    frame, cost = read_side(judged.split, "holdout", incumbent.schema), judged.usecase.target.cost
    outputs = _outputs(incumbent, rows_from_frame(incumbent.schema, frame))
    old = scored(incumbent.schema, cost, target(frame, incumbent.schema), outputs)
    said = pd.read_parquet(judged.evaluated / "holdout_predictions.parquet")
    return difference(predictions.read(judged.schema, cost, said), old, judged.metric)


def _outputs(predictor: Predictor, rows: list[dict[str, Any]]) -> Any:
    import numpy as np

    starts = range(0, len(rows), _PREDICTED_AT_ONCE)
    return np.concatenate([predictor.run(predictor.encode(rows[at : at + _PREDICTED_AT_ONCE])) for at in starts])


def _classes(schema: Schema) -> tuple[Any, ...]:
    return schema.task, schema.classes, schema.positive


def _signed(found: Interval) -> str:
    assert found.low is not None and found.high is not None
    return f"{found.low:+.3f} to {found.high:+.3f} (95 % interval; above 0 is better)"
