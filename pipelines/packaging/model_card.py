"""The model card (Mitchell et al. 2019, https://arxiv.org/abs/1810.03993): what to know before using the model."""

from __future__ import annotations

from typing import Any

from slipway.config import UseCase
from slipway.contracts.schema import Feature, Schema
from slipway.evaluation.metrics import METRICS

_MOST_SHOWN = 12


def render_card(usecase: UseCase, schema: Schema, metrics: dict[str, Any], facts: dict[str, Any]) -> str:
    """The card as Markdown, of the gated `metrics` and the manifest's `facts`."""
    parts = [
        _head(usecase, metrics, facts),
        _use(usecase, schema, facts["training"]),
        _data(schema, metrics, facts),
        _scores(usecase, metrics),
        _slices(usecase, metrics),
        _gates(metrics),
        _limits(schema, facts),
        _origin(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(usecase: UseCase, metrics: dict[str, Any], facts: dict[str, Any]) -> str:
    verdict = "passed every gate" if metrics["passed"] else "**refused by its gates**"
    if metrics["passed"] and any(gate["verdict"] == "waived" for gate in metrics["gates"]):
        verdict = "passed its gates, **one of which was waived**"
    synthetic = (
        "\n\n> **Synthetic data.** It was trained and judged on generated rows: its scores say nothing about the world."
        if facts.get("synthetic")
        else ""
    )
    return f"# {usecase.name}\n\n{usecase.description}{synthetic}\n\nOwner: {usecase.owner}. This version {verdict}."


def _use(usecase: UseCase, schema: Schema, training: dict[str, Any]) -> str:
    lines = [f"## What it answers\n\nTask: {schema.task}. Target: `{schema.target}`{_unit(schema.unit)}."]
    if schema.classes:
        lines.append(f"Classes: {', '.join(f'`{name}`' for name in schema.classes)}.")
    if schema.positive:
        lines.append(
            f"`score` is P({schema.positive}); from {training['threshold']:.3g} on the label is `{schema.positive}`."
        )
    if cost := usecase.target.cost:
        lines.append(
            f"The threshold follows from the costs: a missed `{schema.positive}` costs {cost.false_negative:g}, "
            f"a false one {cost.false_positive:g}."
        )
    return " ".join(lines)


def _data(schema: Schema, metrics: dict[str, Any], facts: dict[str, Any]) -> str:
    counts = ", ".join(f"{metrics['rows'][side]:,} for {side}" for side in ("train", "validation", "holdout"))
    origin = facts.get("source", {}).get("origin", "not recorded")
    features = "\n".join(f"| {f.name} | {f.kind} | {_values(f)} | {f.description} |" for f in schema.features)
    return (
        f"## Data\n\nOrigin: {origin}{' (synthetic)' if facts.get('synthetic') else ''}. Rows: {counts}."
        f"{_production(facts.get('production') or {})}\n\n"
        f"| feature | kind | values | |\n| --- | --- | --- | --- |\n{features}"
    )


def _production(told: dict[str, Any]) -> str:
    """Which of the rows are labelled predictions, what a change made of the others, and whose labels were left out."""
    parts = [one["sentence"] for one in told.get("callers_left_out", ())]
    if rows := told.get("rows"):
        parts.append(
            f"{rows['production']:,} of them are predictions of version {', '.join(told['versions'])} that were "
            f"labelled by {told['cutoff']}; it was judged by the newest {rows['window']:,} more, the window."
        )
    if change := told.get("change"):
        weight = (told.get("joined") or {}).get("weight_before_change")
        counted = "all rows count the same yet" if weight is None else f"a row from before that counts {weight:.2g}"
        parts.append(f"Version {change['seen_by']} answered worse from {change['at']} on: {counted}.")
    return "".join(f" {part}" for part in parts)


def _scores(usecase: UseCase, metrics: dict[str, Any]) -> str:
    titles = METRICS[usecase.task]
    lines = [f"| {metric.title} | {_interval(metrics['scores'][name])} |" for name, metric in titles.items()]
    if base := metrics["baseline"]:
        lines.append(f"| {titles[base['metric']].title} of {base['name']}, same inputs and rows | {_interval(base)} |")
    return (
        "## Scores\n\nOn the holdout, which neither training nor calibration saw; with 95 % bootstrap intervals.\n\n"
        "| metric | value |\n| --- | --- |\n" + "\n".join(lines)
    )


def _slices(usecase: UseCase, metrics: dict[str, Any]) -> str:
    if not metrics["slices"]:
        return ""
    title = METRICS[usecase.task][metrics["metric"]].title
    lines = [f"| {s['feature']} | {s['value']} | {s['rows']} | {_number(s['score'])} |" for s in metrics["slices"]]
    return f"## Slices\n\n| feature | value | rows | {title} |\n| --- | --- | --- | --- |\n" + "\n".join(lines)


def _gates(metrics: dict[str, Any]) -> str:
    lines = [f"| {gate['name']} | {gate['verdict']} | {gate['sentence']} |" for gate in metrics["gates"]]
    return "## Gates\n\n| gate | verdict | |\n| --- | --- | --- |\n" + "\n".join(lines)


def _limits(schema: Schema, facts: dict[str, Any]) -> str:
    lines = ["Rows unlike the training rows (unknown categories, values out of range) are answered with a warning."]
    if nullable := [f.name for f in schema.inputs if f.nullable]:
        lines.append(f"May be missing: {', '.join(nullable)}. Anything else that is missing is refused.")
    if private := [f"{f.name} ({f.private})" for f in schema.masked]:
        lines.append(f"Private, so masked before anything sees them: {', '.join(private)}.")
    if facts.get("synthetic"):
        lines.append("Not for decisions about people or money: the data are generated.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _origin(facts: dict[str, Any]) -> str:
    training = facts["training"]
    where = f"{', '.join(training['devices'])}{'' if training['strategy'] == 'none' else ', ' + training['strategy']}"
    epochs = f"{training['epochs']} epochs, kept {training['best_epoch']}"
    rows = {
        "git commit": f"{facts.get('git_commit') or 'none'}{' (with changes)' if facts.get('git_dirty') else ''}",
        "data": facts.get("data_sha256", "not recorded"),
        "run": facts.get("run_key", "not recorded"),
        "network": f"{training['network']}, {training['weights']:,} weights",
        "training": f"{epochs}; {training['seconds']:.0f} s on {where}",
        "parity with Keras": f"{facts['parity']['keras']:.1e} on {facts['parity']['rows']} rows",
        "libraries": ", ".join(f"{name} {version}" for name, version in facts["libraries"].items()),
    }
    return "## Made from\n\n| | |\n| --- | --- |\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _values(feature: Feature) -> str:
    if feature.private in ("drop", "token"):
        return f"private: {feature.private}, not seen by the model"
    if feature.vocabulary:
        more = len(feature.vocabulary) - _MOST_SHOWN
        return ", ".join(feature.vocabulary[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
    if feature.range:
        return f"{feature.range[0]:g} to {feature.range[1]:g}{_unit(feature.unit)}"
    if feature.size:
        return f"{feature.size[0]} × {feature.size[1]} pixels, {'grey' if feature.channels == 1 else 'colour'}"
    return "true, false" if feature.kind == "boolean" else ""


def _interval(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "not defined"
    return f"{_number(found['value'])} ({_number(found['low'])} to {_number(found['high'])})"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4g}"


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""
