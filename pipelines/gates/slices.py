"""Compare the candidate's score on each slice of the data with that on all rows.

A margin that the use case does not declare refuses no model that is not shown to be worse on the slice than the
baseline model, and none that is no further behind there than the baseline model.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from pipelines.gates.candidate import Candidate, Rows, read_frame
from pipelines.gates.comparison import format_difference, on_current_rows
from slipway.contracts.bundle.gate_report import Gate
from slipway.evaluation.bootstrap import Interval, against_all, difference
from slipway.evaluation.slices import data_slices, named_slice, scores


def slices(candidate: Candidate) -> list[Gate]:
    """Require every slice with enough rows to be no worse than all rows, by `gates.slice_margin`."""
    return on_current_rows(candidate, lambda rows: _check_slices(candidate, rows))


def _check_slices(candidate: Candidate, rows: Rows) -> list[Gate]:
    schema, gates = candidate.challenger.schema, candidate.usecase.gates
    frame = read_frame(rows, schema)
    masks = [part.rows for part in data_slices(gates.slices, schema, frame)]
    found = scores(candidate.usecase, schema, frame, candidate.score_challenger(rows), candidate.metric)
    return [
        _check_slice(candidate, rows, part, mask)
        for part, mask in zip(found, masks, strict=True)
        if part["rows"] >= gates.min_slice_rows
    ]


def _check_slice(candidate: Candidate, rows: Rows, part: dict[str, Any], mask: np.ndarray) -> Gate:
    label = named_slice("slice:{}={}", part["feature"], part["value"])
    margin = candidate.usecase.gates.slice_margin
    found = Interval(**part["difference"])
    where = f"On {rows.name}, where {part['feature']} is {part['value']} ({part['rows']:,} rows),"
    if found.high is None:
        return Gate(label, None, -margin, "passed", f"{where} the rows define no {candidate.metric.title}.")
    sentence = f"{where} its {candidate.metric.title} differs from that over all rows by {format_difference(found)}"
    verdict, not_ = ("failed", "") if found.high < -margin else ("passed", "not ")
    sentence = f"{sentence}: {not_}worse by more than the margin of {margin:g}."
    gate = Gate(label, found.high, -margin, verdict, sentence)
    if not gate.failed or "slice_margin" in candidate.usecase.gates.model_fields_set:
        return gate
    return _relative_to_baseline(candidate, rows, mask, gate, found.value or 0.0)


def _relative_to_baseline(candidate: Candidate, rows: Rows, mask: np.ndarray, gate: Gate, behind: float) -> Gate:
    """Let a slice pass that the baseline model is as far behind on, or does not score better on."""
    model, metric = candidate.baseline, candidate.skill_metric
    its, baselines = candidate.score_challenger(rows), candidate.score_baseline(model, rows)
    better = difference(its.at(mask), baselines.at(mask), metric)
    if (against_all(mask, baselines, candidate.metric).value or 0.0) <= behind:
        reason = f"{model.name} is no less behind there"
    elif better.high is not None and better.high > 0:
        reason = f"its {metric.title} there differs from that of {model.name} by {format_difference(better)}"
    else:
        return msgspec.structs.replace(gate, sentence=f"{gate.sentence} It is worse there than {model.name}, too.")
    sentence = f"{gate.sentence} The use case does not declare gates.slice_margin, and {reason}."
    return msgspec.structs.replace(gate, verdict="passed", sentence=sentence)
