"""The result of a training as Markdown: its gates, its scores and its model card."""

from __future__ import annotations

from pipelines.artifacts import GatedReport
from pipelines.packaging.score_words import format_score

MOST_CHARACTERS = 60_000  # a comment on GitHub has at most 65,536
_CUT = "\n\n*The rest of the model card is cut here: it is too long for a comment. MLflow has all of it.*\n"


def marker(usecase: str) -> str:
    """Return the first line of a comment, by which the next one finds and replaces it."""
    return f"<!-- slipway train {usecase} -->"


def markdown(usecase: str, version: str, report: GatedReport, card: str) -> str:
    """Write the result of a training, cut to the length of a comment."""
    verdict = "passed its gates" if report.passed else "was refused by its gates"
    gates = [_row(gate.name, gate.verdict, gate.sentence) for gate in report.gates]
    scores = [_row(name, format_score(score)) for name, score in report.scores.items()]
    parts = [
        f"## {usecase} version {version} {verdict}",
        "\n".join(["| gate | verdict | |", "| --- | --- | --- |", *gates]),
        "\n".join(["| score | on the holdout (95 % interval) |", "| --- | --- |", *scores]),
        f"<details>\n<summary>Model card</summary>\n\n{card}\n</details>",
    ]
    text = "\n\n".join([marker(usecase), *parts]) + "\n"
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - len(_CUT)] + _CUT


def refusal(usecase: str, version: str, report: GatedReport) -> str | None:
    """Return why the version is not released, in the gates' own sentences; None if it passed."""
    if report.passed:
        return None
    reasons = " ".join(f"{gate.name}: {gate.sentence}" for gate in report.gates if gate.failed)
    return f"{usecase} version {version} was refused by its gates: {reasons}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(' '.join(cell.replace('|', '&#124;').splitlines()) for cell in cells)} |"
