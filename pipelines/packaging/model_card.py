"""Model card (Mitchell et al. 2019, https://arxiv.org/abs/1810.03993): what to know before using the model."""

from __future__ import annotations

from pipelines.artifacts import BaselineScore, BundleFacts, GatedReport, LabelReport, Score, TrainingReport
from pipelines.packaging.score_words import explain_score
from slipway.config import UseCase
from slipway.contracts.schema import Feature, Schema
from slipway.evaluation.metrics import METRICS

_MOST_SHOWN = 12


def render_card(usecase: UseCase, schema: Schema, report: GatedReport, facts: BundleFacts) -> str:
    """Render the model card as Markdown."""
    parts = [
        _head(usecase, report, facts),
        _use(usecase, schema, facts.training),
        _data(schema, report, facts),
        _scores(usecase, report),
        _slices(usecase, report),
        _gates(report),
        _limits(schema, facts),
        _origin(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(usecase: UseCase, report: GatedReport, facts: BundleFacts) -> str:
    verdict = "passed every gate" if report.passed else "**refused by its gates**"
    if report.passed and any(gate.verdict == "waived" for gate in report.gates):
        verdict = "passed its gates, **one of which was waived**"
    synthetic = (
        "\n\n> **Synthetic data.** It was trained and evaluated on generated rows: scores do not hold for real data."
        if facts.synthetic
        else ""
    )
    return f"# {usecase.name}\n\n{usecase.description}{synthetic}\n\nOwner: {usecase.owner}. This version {verdict}."


def _use(usecase: UseCase, schema: Schema, training: TrainingReport) -> str:
    lines = [f"## Predictions\n\nTask: {schema.task}. Target: `{schema.target}`{_unit(schema.unit)}."]
    if schema.classes:
        lines.append(f"Classes: {', '.join(f'`{name}`' for name in schema.classes)}.")
    if schema.positive:
        lines.append(
            f"`score` is P({schema.positive}); from {training.threshold:.3g} on the label is `{schema.positive}`."
        )
    if cost := usecase.target.cost:
        lines.append(
            f"The threshold follows from the costs: a missed `{schema.positive}` costs {cost.false_negative:g}, "
            f"a false one {cost.false_positive:g}."
        )
    return " ".join(lines)


def _data(schema: Schema, report: GatedReport, facts: BundleFacts) -> str:
    counts = ", ".join(f"{report.rows[side]:,} for {side}" for side in ("train", "validation", "holdout"))
    features = "\n".join(_row(f.name, f.kind, _values(f), f.description) for f in schema.features)
    return (
        f"## Data\n\nOrigin: {facts.source.origin}{' (synthetic)' if facts.synthetic else ''}. Rows: {counts}."
        f"{_labels(facts.production)}\n\n"
        f"| feature | kind | values | |\n| --- | --- | --- | --- |\n{features}"
    )


def _labels(labels: LabelReport | None) -> str:
    """Describe the labelled predictions among the rows, a change point, and callers whose labels were left out."""
    if labels is None:
        return ""
    parts = [one.sentence for one in labels.callers_left_out]
    if labels.rows:
        parts.append(
            f"{labels.rows.production:,} of them are predictions of version {', '.join(labels.versions or {})} that "
            f"were labelled by {labels.cutoff}; the newest {labels.rows.window:,} more, the window, evaluate it."
        )
    if change := labels.change:
        weight = labels.joined.weight_before_change if labels.joined else None
        weighted = (
            "all rows have the same weight yet" if weight is None else f"rows from before have the weight {weight:.2g}"
        )
        parts.append(f"Version {change.seen_by} predicts worse since {change.at}: {weighted}.")
    return "".join(f" {part}" for part in parts)


def _scores(usecase: UseCase, report: GatedReport) -> str:
    titles = METRICS[usecase.task]
    lines = [
        _row(metric.title, metric.meaning, _interval(report.scores[name]))
        for name, metric in titles.items()
        if name in report.scores
    ]
    for base, what in ((report.trivial, "knows no feature"), (report.baseline, "same inputs and rows")):
        if base:
            lines.append(_row(f"{titles[base.metric].title} of {base.name}", what, _interval(base)))
    return (
        "## Scores\n\nOn the holdout, which neither training nor calibration saw; with 95 % bootstrap intervals.\n\n"
        "| metric | | value |\n| --- | --- | --- |\n"
        + "\n".join(lines)
        + "\n\n"
        + " ".join(f"{line}." for line in explain_score(usecase, report)[1:])
    ).rstrip()


def _slices(usecase: UseCase, report: GatedReport) -> str:
    if not report.slices:
        return ""
    title = METRICS[usecase.task][report.metric].title
    lines = [_row(s.feature, s.value, s.rows, _number(s.score)) for s in report.slices]
    return f"## Slices\n\n| feature | value | rows | {title} |\n| --- | --- | --- | --- |\n" + "\n".join(lines)


def _gates(report: GatedReport) -> str:
    lines = [_row(gate.name, gate.verdict, gate.sentence) for gate in report.gates]
    return "## Gates\n\n| gate | verdict | |\n| --- | --- | --- |\n" + "\n".join(lines)


def _limits(schema: Schema, facts: BundleFacts) -> str:
    lines = ["Rows unlike the training rows (unknown categories, values out of range) are answered with a warning."]
    if nullable := [f.name for f in schema.inputs if f.nullable]:
        lines.append(f"May be missing: {', '.join(nullable)}. Anything else that is missing is refused.")
    if private := [f"{f.name} ({f.private})" for f in schema.masked]:
        lines.append(f"Private, so masked before anything sees them: {', '.join(private)}.")
    if facts.synthetic:
        lines.append("Not for decisions about people or money: the data are generated.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _origin(facts: BundleFacts) -> str:
    training = facts.training
    where = f"{', '.join(training.devices)}{'' if training.strategy == 'none' else ', ' + training.strategy}"
    epochs = f"{training.epochs} epochs, kept {training.best_epoch}"
    rows = {
        "git commit": f"{facts.git_commit or 'none'}{' (with changes)' if facts.git_dirty else ''}",
        "data": facts.data_sha256,
        "run": facts.run_key,
        "network": f"{training.network}, {training.weights:,} weights",
        "training": f"{epochs}; {training.seconds:.0f} s on {where}",
        "parity with Keras": f"{facts.parity.keras:.1e} on {facts.parity.rows} rows",
        "libraries": ", ".join(f"{name} {version}" for name, version in facts.libraries.items()),
    }
    return "## Made from\n\n| | |\n| --- | --- |\n" + "\n".join(_row(name, value) for name, value in rows.items())


def _row(*cells: object) -> str:
    """Render a row of a table, in which a name may hold what ends a cell or a line."""
    texts = (" ".join(str(cell).replace("|", r"\|").splitlines()) for cell in cells)
    return f"| {' | '.join(texts)} |"


def _values(feature: Feature) -> str:
    if feature.private in ("drop", "token"):
        return f"private: {feature.private}, not an input of the model"
    if feature.vocabulary:
        more = len(feature.vocabulary) - _MOST_SHOWN
        return ", ".join(feature.vocabulary[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
    if feature.range:
        return f"{feature.range[0]:g} to {feature.range[1]:g}{_unit(feature.unit)}"
    if feature.size:
        return f"{feature.size[0]} × {feature.size[1]} pixels, {'grey' if feature.channels == 1 else 'colour'}"
    return "true, false" if feature.kind == "boolean" else ""


def _interval(score: Score | BaselineScore) -> str:
    if score.value is None:
        return "not defined"
    return f"{_number(score.value)} ({_number(score.low)} to {_number(score.high)})"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4g}"


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""
